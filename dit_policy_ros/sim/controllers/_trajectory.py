# SPDX-License-Identifier: Apache-2.0
"""Trajectory messages without ROS, and the polynomials by which joint_trajectory_controller interpolates.

Behaviour after joint_trajectory_controller/src/trajectory.cpp of ros-controls/ros2_controllers.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a message: its time after the stamp [ns], and (A,) values per joint.

    Fields follow trajectory_msgs/JointTrajectoryPoint; an empty tuple means that the field is absent.
    """

    time_from_start_ns: int
    positions: tuple[float, ...] = ()
    velocities: tuple[float, ...] = ()
    accelerations: tuple[float, ...] = ()
    effort: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A trajectory_msgs/JointTrajectory; stamp_ns 0 means: start at the next update."""

    stamp_ns: int
    joint_names: tuple[str, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Knot:
    """The desired state at one instant: position (A,), velocity and acceleration (A,) or None."""

    time_ns: int
    position: np.ndarray
    velocity: np.ndarray | None
    acceleration: np.ndarray | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A polynomial in the seconds since start_ns; coefficients (degree + 1, A), lowest power first."""

    start_ns: int
    coefficients: np.ndarray

    def position(self, time_ns: int) -> np.ndarray:
        """Returns the joints (A,) [rad] or [m] at an instant."""
        return self._derivative(time_ns, self.coefficients)

    def sample(self, time_ns: int) -> Knot:
        """Returns position, velocity and acceleration at an instant, (A,) each."""
        powers = np.arange(len(self.coefficients))[:, None]  # (degree + 1, 1)
        slopes = (powers * self.coefficients)[1:]
        curves = (powers[:-1] * slopes)[1:]
        return Knot(
            time_ns,
            self.position(time_ns),
            self._derivative(time_ns, slopes),
            self._derivative(time_ns, curves),
        )

    def _derivative(self, time_ns: int, coefficients: np.ndarray) -> np.ndarray:
        if not len(coefficients):
            return np.zeros(self.coefficients.shape[1])
        t = (time_ns - self.start_ns) * 1e-9
        value = coefficients[-1]
        for coefficient in coefficients[-2::-1]:
            value = value * t + coefficient
        return value


def segment_between(a: Knot, b: Knot) -> Segment:
    """Returns the controller's interpolation: linear, cubic or quintic, by the fields that both knots have.

    With accelerations but no velocities the real controller outputs zeros. So does this.
    """
    duration = (b.time_ns - a.time_ns) * 1e-9  # [s]
    p0, p1 = a.position, b.position
    if a.velocity is None or b.velocity is None:
        if a.acceleration is not None and b.acceleration is not None:
            return Segment(a.time_ns, np.zeros((1, len(p0))))
        slope = (p1 - p0) / duration if duration != 0.0 else np.zeros_like(p0)
        return Segment(a.time_ns, np.stack([p0, slope]))
    v0, v1 = a.velocity, b.velocity
    if a.acceleration is None or b.acceleration is None:
        boundary = [p0, v0, p1, v1]
    else:
        boundary = [p0, v0, 0.5 * a.acceleration, p1, v1, b.acceleration]
    half = len(boundary) // 2
    if duration == 0.0:
        return Segment(a.time_ns, np.stack(boundary[:half]))
    return Segment(a.time_ns, _hermite(boundary, half, duration))


def _hermite(boundary: list[np.ndarray], half: int, duration: float) -> np.ndarray:
    """Solves for the upper coefficients so that the first `half` derivatives hold at both ends.

    boundary: the lower coefficients (half of them), then position and derivatives at the end, (A,) each.
    """
    lower = np.stack(boundary[:half])  # (half, A)
    size = 2 * half
    # Row d: the d-th derivative of 1, t, t^2, ... at t = duration.
    rows = np.zeros((half, size))
    for d in range(half):
        for k in range(d, size):
            rows[d, k] = np.prod(np.arange(k - d + 1, k + 1)) * duration ** (k - d)
    wanted = np.stack(boundary[half:]) - rows[:, :half] @ lower  # (half, A)
    # Scaled to unit time, the system is as well conditioned for 2 ms as for 10 s.
    scale = duration ** np.arange(size)
    unit = rows[:, half:] / scale[half:] * duration ** np.arange(half)[:, None]
    upper = np.linalg.solve(unit, wanted * duration ** np.arange(half)[:, None]) / scale[half:, None]
    return np.concatenate([lower, upper])
