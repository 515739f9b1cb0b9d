# SPDX-License-Identifier: Apache-2.0
"""The latency of an arm and of a camera, from what was commanded, measured and seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.calibration._lag import Lag, LagSearch, find_lag
from dit_policy_ros.core.errors import CalibrationError

Array = NDArray[np.float64]

ARM_SEARCH = LagSearch(low=-0.05, high=0.5, min_correlation=0.9)
CAMERA_SEARCH = LagSearch(low=-0.2, high=0.5, min_correlation=0.6)
_MOVED = 0.25  # share of the commanded motion that a joint must make
_MARGIN = 0.6  # [s] of samples that are needed before and after the measurement, for the lags
_FEWEST = 60  # samples or frames
_ENOUGH = 100.0  # [Hz] of joint states: the motion has no higher frequencies


@dataclass(frozen=True, slots=True, eq=False)
class JointMotion:
    """Positions of some joints over time.

    Attributes:
        times: (N,) increasing [s].
        positions: (N, J) [rad or m].
    """

    times: Array
    positions: Array

    def at(self, times: Array) -> Array:
        """The positions at ``times`` (K,), interpolated linearly -> (K, J)."""
        columns = [np.interp(times, self.times, column) for column in self.positions.T]  # J of (K,)
        return np.stack(columns, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class ImageMotion:
    """How much each image of a camera differs from the one before.

    Attributes:
        stamps: (F,) of the images, increasing [s].
        changes: (F - 1,) mean absolute difference to the image before [grey levels].
    """

    stamps: Array
    changes: Array


def arm_latency(commanded: JointMotion, measured: JointMotion, name: str, search: LagSearch) -> Lag:
    """How far the measured joints lag behind their commands.

    Args:
        commanded: what the joints were commanded to do, at the times when it was due.
        measured: their joint states, by stamp.
        name: of the controller, for messages.
        search: see LagSearch.

    Raises:
        CalibrationError: the joints did not follow, or the result cannot be trusted.
    """
    what = f"the latency of {name}"
    inside = np.flatnonzero(_inside(measured.times, commanded.times))  # (N,)
    if len(inside) > 1:
        duration = float(measured.times[inside[-1]] - measured.times[inside[0]])  # [s]
        rate = (len(inside) - 1) / duration  # [Hz]
        inside = inside[:: max(1, round(rate / _ENOUGH))]
    times = measured.times[inside]  # (N,)
    if len(times) < _FEWEST:
        raise CalibrationError(f"{what}: only {len(times)} joint states came during the motion")
    columns, positions = np.ptp(commanded.positions, axis=0), measured.positions[inside]
    moving = np.flatnonzero(columns > 0.0)  # (M,)
    follows = np.ptp(positions, axis=0)[moving] >= _MOVED * columns[moving]  # (M,)
    if not len(moving) or not follows.any():
        raise CalibrationError(
            f"{what}: the joints were commanded to move, but did not. Is the controller active, or is this "
            "another robot's joint state?"
        )
    used = moving[follows]
    scale = columns[used]  # (U,) each joint counts alike, whatever its unit
    signal = ((positions[:, used] - positions[:, used].mean(axis=0)) / scale).T.ravel()  # (U * N,)
    order = np.argsort(np.tile(times, len(used)), kind="stable")  # by time, for the parts

    def expected(lag: float) -> Array:
        wanted = commanded.at(times - lag)[:, used]  # (N, U)
        return ((wanted - wanted.mean(axis=0)) / scale).T.ravel()[order]

    return find_lag(expected, signal[order], search, what)


def camera_latency(seen: ImageMotion, measured: JointMotion, name: str, search: LagSearch) -> Lag:
    """How far a camera's stamps are behind the joint states': the image shows the robot of that much earlier.

    Args:
        seen: the camera's image motion.
        measured: the joints that were moved, and no others, by their states' stamps.
        name: of the camera, for messages.
        search: see LagSearch.

    Raises:
        CalibrationError: the image does not move with the joints, or the result cannot be trusted.
    """
    what = f"the latency of camera {name}"
    inside = _inside(seen.stamps, measured.times)[1:]  # (F - 1,)
    if inside.sum() < _FEWEST:
        raise CalibrationError(f"{what}: only {int(inside.sum())} images came during the motion")
    if not np.isfinite(seen.changes[inside]).all() or seen.changes[inside].max() <= 0.0:
        raise CalibrationError(
            f"{what}: its image does not change at all, although the arm moves: is it frozen?"
        )
    before, after = seen.stamps[:-1][inside], seen.stamps[1:][inside]  # (N,) both
    scale = np.maximum(np.ptp(measured.positions, axis=0), 1e-9)  # (J,)

    def expected(lag: float) -> Array:
        moved = (measured.at(after - lag) - measured.at(before - lag)) / scale  # (N, J)
        return np.linalg.norm(moved, axis=1)

    try:
        return find_lag(expected, seen.changes[inside], search, what)
    except CalibrationError as error:
        raise CalibrationError(f"{error}. Does the camera see the arm move?") from error


def _inside(times: Array, of: Array) -> NDArray[np.bool_]:
    """Which of ``times`` (N,) are far enough from the ends of ``of`` for all lags to be tried -> (N,)."""
    return (times >= of[0] + _MARGIN) & (times <= of[-1] - _MARGIN)
