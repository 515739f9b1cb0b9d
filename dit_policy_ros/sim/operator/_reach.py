# SPDX-License-Identifier: Apache-2.0
"""Human-like reaching paths: overlapping minimum-jerk submovements (Flash and Hogan, 1985)."""

from dataclasses import dataclass

import numpy as np

CLEAR_HEIGHT = 0.105  # [m] of the tool point, safe to travel above the cubes
HOVER = 0.055  # [m] above the point to touch
_MIN_DURATION = 0.6  # [s]
_EARLY = 0.75  # exponent of time: below 1 the speed peaks early


def minimum_jerk(tau: float) -> float:
    """Returns the completed share of a movement (0 to 1) at the fraction tau of its duration."""
    tau = min(max(tau, 0.0), 1.0)
    return tau**3 * (10.0 - 15.0 * tau + 6.0 * tau**2)


def early_peak(tau: float) -> float:
    """Like ``minimum_jerk`` with an early speed peak, at 0.35 of the duration.

    People move like this towards a small target.
    """
    return minimum_jerk(max(tau, 0.0) ** _EARLY)


@dataclass(frozen=True, slots=True)
class Submovement:
    """A displacement delta (3,) [m] made between start and start + duration [s]."""

    start: float
    duration: float
    delta: np.ndarray

    @property
    def end(self) -> float:
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class ReachPath:
    """A path of the tool point: origin (3,) [m] plus submovements that may overlap in time."""

    origin: np.ndarray
    submovements: tuple[Submovement, ...]

    @property
    def duration(self) -> float:
        """Time until the last submovement ends [s]."""
        return max((s.end for s in self.submovements), default=0.0)

    def position(self, t: float) -> np.ndarray:
        """Returns the tool point (3,) [m] t seconds after the path began."""
        point = self.origin.copy()
        for s in self.submovements:
            point += s.delta * minimum_jerk((t - s.start) / s.duration)
        return point


def plan_reach(origin: np.ndarray, goal: np.ndarray, rng: np.random.Generator, *, home: bool) -> ReachPath:
    """Plans lift, travel and descent from origin (3,) to goal (3,) [m]. Timing and path vary with rng.

    home: the goal is the rest pose, high beside the workspace. Otherwise it is a point on top of a cube,
    approached from straight above.
    """
    speed = rng.uniform(0.16, 0.24)  # mean tool speed [m/s]; the peak is 1.875 times the mean
    hold_back = rng.uniform(0.0, 0.1)  # hesitation before the first movement [s]

    def duration(distance: float) -> float:
        return max(_MIN_DURATION, abs(distance) / speed) * rng.uniform(0.9, 1.15)

    movements: list[Submovement] = []
    start = hold_back
    travel = np.array([goal[0] - origin[0], goal[1] - origin[1], 0.0])
    length = float(np.linalg.norm(travel))
    far = length > 0.012
    travel_height = goal[2] if home else goal[2] + HOVER  # [m] at the end of the travel
    if far and origin[2] < CLEAR_HEIGHT - 0.01:
        rise = max(CLEAR_HEIGHT, min(travel_height, 0.13)) - origin[2]
        lift = Submovement(start, duration(rise), np.array([0.0, 0.0, rise]))
        movements.append(lift)
        start += lift.duration * rng.uniform(0.65, 0.8)
    height = origin[2] + sum(float(m.delta[2]) for m in movements)
    if far:
        span = duration(float(np.hypot(length, travel_height - height)))
        movements.append(Submovement(start, span, travel + np.array([0.0, 0.0, travel_height - height])))
        # A slight sideways arc, as human arms make.
        side = np.array([-travel[1], travel[0], 0.0]) / length
        bow = side * float(np.clip(rng.normal(0.0, 0.012), -0.025, 0.025)) * min(1.0, length / 0.15)
        movements.append(Submovement(start, span * 0.6, bow))
        movements.append(Submovement(start + span * 0.4, span * 0.6, -bow))
        start += span * rng.uniform(0.85, 0.95)
        height = travel_height
    drop = goal[2] - height
    if abs(drop) > 1e-4:
        movements.append(Submovement(start, duration(drop * 1.6), np.array([0.0, 0.0, drop])))
    return ReachPath(origin, tuple(movements))
