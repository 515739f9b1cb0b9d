# SPDX-License-Identifier: Apache-2.0
"""Proposes velocity and acceleration limits from demonstrations, for robots whose manual has none.

Shapes: N frames of one episode, D joints, W frames of a window.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import unwrap
from dit_policy_ros.core.errors import DatasetError

Array = NDArray[np.float64]

_WINDOW = 0.2  # [s] over which a parabola is fitted: noise is averaged, and a hand moves no faster
_SHORTEST_WINDOW = 5  # frames: with fewer, the noise of an encoder looks like acceleration
_QUANTILE = 0.99  # of the frames in which the joint moves; the rest are glitches
_MARGIN = 1.5
_MOVES = 0.05  # [share of its highest speed] below this speed a joint counts as standing
_NOISE = 10.0  # [standard deviations] a joint that stays within this has not moved
_LEAST_MOTION = 1e-3  # [rad or m] likewise


@dataclass(frozen=True, slots=True, eq=False)
class DemonstratedLimits:
    """What demonstrations needed, with a margin.

    velocity [unit/s], acceleration [unit/s^2]: (D,), in the unit of the states; NaN for a joint that did not
    move, of which nothing is known. moved: (D,) bool. frames: number of frames that were looked at.
    """

    velocity: Array
    acceleration: Array
    moved: NDArray[np.bool_]
    frames: int


def demonstrated_limits(
    episodes: Sequence[Array], fps: float, continuous: NDArray[np.bool_] | None = None
) -> DemonstratedLimits:
    """Limits that the demonstrated motions keep: 1.5 times the 99% quantile of what a moving joint did.

    Speeds and accelerations are those of parabolas fitted over 0.2 s, so that the noise of the encoders does
    not count. It is a rule of thumb: what the robot may bear is in its manual.

    Args:
        episodes: measured states, (N, D) each. Leave out frames that repeat others.
        fps: frames per second [Hz].
        continuous: joints that turn without end, (D,) bool; none by default.

    Raises:
        DatasetError: no episode is as long as the window, or a value is not finite.
    """
    window = max(_SHORTEST_WINDOW, 2 * round(_WINDOW * fps / 2) + 1)  # W, odd
    long_enough = [np.asarray(states, dtype=np.float64) for states in episodes if len(states) >= window]
    if not long_enough:
        raise DatasetError(
            f"limits from demonstrations: expected an episode of at least {window} frames "
            f"({window / fps:.2f} s), got {len(episodes)} shorter ones. Record longer demonstrations"
        )
    if not all(np.isfinite(states).all() for states in long_enough):
        raise DatasetError(
            "limits from demonstrations: expected finite states, got NaN or infinity. Look for the episode "
            "with `dit_policy inspect`"
        )
    if continuous is not None:
        long_enough = [unwrap(states, states[0], continuous) for states in long_enough]
    fits = [_fit(states, window, fps) for states in long_enough]
    travel = np.max([np.ptp(position, axis=0) for position, *_ in fits], axis=0)  # (D,) in one episode
    _, speed, acceleration, noise = (np.concatenate(parts) for parts in zip(*fits, strict=True))  # (M, D)
    least = np.maximum(_LEAST_MOTION, _NOISE * np.sqrt((noise**2).mean(axis=0)))  # (D,)
    moved = travel > least  # (D,)
    is_moving = speed > _MOVES * speed.max(axis=0)  # (M, D)
    return DemonstratedLimits(
        _of_moving(speed, is_moving, moved), _of_moving(acceleration, is_moving, moved), moved, len(speed)
    )


def _fit(states: Array, window: int, fps: float) -> tuple[Array, Array, Array, Array]:
    """Position, speed and acceleration of the parabola around each frame, and its error there.

    (N - W + 1, D) each, without the frames at the ends.
    """
    half = window // 2
    times = np.arange(-half, half + 1) / fps  # (W,) [s]
    weights = np.linalg.pinv(np.vander(times, 3, increasing=True))  # (3, W)
    windows = np.lib.stride_tricks.sliding_window_view(states, window, axis=0)  # (N - W + 1, D, W)
    position, velocity, half_acceleration = np.moveaxis(windows @ weights.T, -1, 0)
    error = states[half : len(states) - half] - position
    return position, np.abs(velocity), np.abs(2.0 * half_acceleration), error


def _of_moving(values: Array, is_moving: NDArray[np.bool_], moved: NDArray[np.bool_]) -> Array:
    """Margin times the quantile of (M, D) values over the frames in which each joint moves, (D,)."""
    return np.array(
        [
            _MARGIN * np.quantile(values[is_moving[:, joint], joint], _QUANTILE) if moved[joint] else np.nan
            for joint in range(values.shape[1])
        ]
    )
