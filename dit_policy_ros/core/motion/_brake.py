# SPDX-License-Identifier: Apache-2.0
"""The braking plan of a HOLD: from the commanded state to rest at the acceleration limits.

If possible, coupled joints brake along the path that they were on: two arms that hold one object
stop together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion._plan import PLAN_HISTORY, Plan
from dit_policy_ros.core.motion._settings import MotionSettings
from dit_policy_ros.core.path import Limiter, Target

Array = NDArray[np.float64]

# Stopping times are rounded up to multiples of this, so that no two knots are almost at the same time. At
# 5 rad/s a joint then travels up to 0.025 mrad further; check_plan tolerates that.
_ROUNDING_NS = 10_000
_STEP_NS = 10_000_000  # between the knots of a plan that brakes along a path
# Braking along a path may take this much longer than braking each joint alone: a factor, and a time [s].
_LONGER, _LATER = 1.5, 0.05
# A brake that would begin this close behind a knot begins at the knot: in so short an interval, rounding
# would look like a huge acceleration.
_SHORTEST_NS = 1_000_000
_OFF_PATH = 1e-3  # [rad or m] a joint that the limiter moves further from its place has left the path
_SMALL = 1e-9  # [rad/s or m/s] stands for a velocity of 0, so that no quotient is 0/0


@dataclass(frozen=True, slots=True, eq=False)
class BrakeGroup:
    """Joints that brake along one path.

    Attributes:
        joints: (S,) their indices.
        scaled: bool (S,), joints whose limits decide how fast the group brakes. The others follow.
    """

    joints: NDArray[np.int64]
    scaled: NDArray[np.bool_]


def braking_along_path(
    plan: Plan, now_ns: int, limits: Limits, groups: Sequence[BrakeGroup], hold_duration: float
) -> tuple[Plan, bool] | None:
    """Stop each group of joints on the path of the active plan, as fast as their limits allow; then hold.

    Args:
        plan: the active plan.
        now_ns: when braking begins [ns].
        limits: of all joints.
        groups: the joints that brake together.
        hold_duration: how long the plan holds its final pose [s], see MotionSettings.

    Returns:
        The plan, and whether it stays on the path; None if a group would take much longer than its joints
        alone.
    """
    position, velocity = plan.sample_at(now_ns)  # (A,) both
    alone = float((np.abs(velocity) / limits.acceleration).max())  # [s]
    knots = int((_LONGER * alone + _LATER) * 1e9) // _STEP_NS + 1
    times_ns = now_ns + _STEP_NS * np.arange(knots + 1, dtype=np.int64)  # (K+1,)
    _, speeds = plan.sample(times_ns)  # (K+1, A)
    step = _STEP_NS * 1e-9  # [s]
    strongest = limits.acceleration * step  # (A,) largest change of velocity in one step
    progress = np.empty((knots, len(position)))  # (K, A) steps along the plan
    rates = np.empty((knots, len(position)))  # (K, A)
    for group in groups:
        scaled = group.joints[group.scaled] if group.scaled.any() else group.joints  # (S',)
        passed, rate = _slow_down(speeds[:, scaled], strongest[scaled])  # (K,) both
        if rate[-1] > 0.0:
            return None
        progress[:, group.joints], rates[:, group.joints] = passed[:, None], rate[:, None]
    wanted, wanted_velocities = np.empty_like(progress), np.empty_like(progress)  # (K, A) both
    for group in groups:
        on_plan_ns = now_ns + np.rint(progress[:, group.joints[0]] * _STEP_NS).astype(np.int64)  # (K,)
        places, velocities = plan.sample(on_plan_ns)  # (K, A) both
        wanted[:, group.joints] = places[:, group.joints]
        wanted_velocities[:, group.joints] = (velocities * rates)[:, group.joints]
    last = int(np.argmin(rates.any(axis=1)))  # the first knot at which all joints rest
    target = Target.of(wanted[: last + 1], wanted_velocities[: last + 1])
    motion = Limiter(limits, step).follow(position, velocity, target)
    # A joint that does not decide how fast its group brakes may still be moving when the others rest.
    rest = braking_plan(
        motion.positions[-1], motion.velocities[-1], now_ns + _STEP_NS * (last + 1), limits, hold_duration
    )
    plan = Plan(
        np.concatenate([now_ns + _STEP_NS * np.arange(last + 1, dtype=np.int64), rest.times_ns]),
        np.concatenate([position[None], motion.positions[:-1], rest.positions]),
        np.concatenate([velocity[None], motion.velocities[:-1], rest.velocities]),
    )
    together = np.concatenate([group.joints[group.scaled] for group in groups])  # (S,)
    off = np.abs(motion.positions - target.positions)[:, together]  # (K, S)
    return plan, bool((off < _OFF_PATH).all())


def _slow_down(speeds: Array, strongest: Array) -> tuple[Array, Array]:
    """The slowest rates along a plan that keep the acceleration limits.

    Args:
        speeds: (K+1, S) velocities of the plan at each step from now on.
        strongest: (S,) largest change of a velocity in one step.

    Returns:
        For each of the K steps how many steps of the plan have been passed by then (K,), and the rate (K,).
    """
    steps = len(speeds) - 1
    passed, rates = np.zeros(steps), np.zeros(steps)  # (K,) both
    place, rate, velocity = 0.0, 1.0, speeds[0]
    for k in range(steps if speeds.any() else 0):
        slower = rate
        for _ in range(3):  # the velocity of the plan depends on the rate, but little
            there = place + (rate + slower) / 2.0
            row = min(int(there), steps - 1)
            planned = speeds[row] + (there - row) * (speeds[row + 1] - speeds[row])  # (S,)
            divisor = np.where(np.abs(planned) < _SMALL, np.copysign(_SMALL, planned), planned)  # (S,)
            centre, width = velocity / divisor, strongest / np.abs(divisor)  # (S,) both
            low, high = (centre - width).max(), (centre + width).min()
            slower = min(max(low if low <= high else (low + high) / 2.0, 0.0), rate)
        place, rate, velocity = there, slower, planned * slower
        passed[k], rates[k] = place, rate
        if rate == 0.0:
            passed[k:] = place
            break
    return passed, rates


def stop(
    active: Plan,
    now_ns: int,
    limits: Limits,
    groups: Sequence[BrakeGroup],
    hold_duration: float,
    history_ns: int | None = None,
) -> tuple[Plan, bool]:
    """The plan that stops the active one, along its path if possible; its arguments are those of the others.

    Returns:
        The plan, which begins with the last knots of the active one, and whether it stays on the path.
    """
    begin_ns = braking_begin(active, now_ns)
    brake, on_path = braking_along_path(active, begin_ns, limits, groups, hold_duration) or (
        braking_plan(*active.sample_at(begin_ns), begin_ns, limits, hold_duration),
        False,
    )
    history_ns = round(PLAN_HISTORY * 1e9) if history_ns is None else history_ns
    return with_history(brake, active, np.zeros(len(limits.velocity), dtype=bool), history_ns), on_path


def braking_plan(
    position: NDArray[np.float64],
    velocity: NDArray[np.float64],
    now_ns: int,
    limits: Limits,
    hold_duration: float,
) -> Plan:
    """Decelerate every joint at its limit from the state commanded at ``now_ns``, then hold the pose.

    Each joint comes to rest at a knot of its own, so every segment has constant acceleration. The limiter
    only commands states from which a joint can stop in time, so braking stays inside the position limits.

    Args:
        position, velocity: (A,) commanded at ``now_ns`` [rad or m, /s].
        now_ns: start of the plan [ns].
        limits: only the acceleration limits are used.
        hold_duration: how long the plan holds its final pose [s], see MotionSettings.
    """
    stopping_ns = (
        np.ceil(np.abs(velocity) / limits.acceleration * 1e9 / _ROUNDING_NS).astype(np.int64) * _ROUNDING_NS
    )  # (A,)
    last_ns = int(stopping_ns.max()) + round(hold_duration * 1e9)
    offsets_ns = np.unique(np.concatenate([[0], stopping_ns, [last_ns]]))  # (K,) ascending
    braked_ns = np.minimum(offsets_ns[:, None], stopping_ns[None, :])  # (K, A) time spent braking
    braked = braked_ns * 1e-9  # (K, A) [s]
    # The deceleration with which the velocity is zero exactly at the rounded stopping time.
    deceleration = velocity / np.maximum(stopping_ns * 1e-9, 1e-9)  # (A,)
    velocities = velocity - deceleration * braked  # (K, A)
    positions = position + (velocity + velocities) * (braked / 2.0)  # (K, A)
    velocities[offsets_ns[:, None] >= stopping_ns[None, :]] = 0.0
    return Plan(now_ns + offsets_ns, positions, velocities)


def braking_begin(active: Plan, now_ns: int) -> int:
    """When a brake from the active plan begins [ns]: now, or at the knot just before."""
    latest = int(active.times_ns[max(int(np.searchsorted(active.times_ns, now_ns, side="right")) - 1, 0)])
    return latest if 0 <= now_ns - latest < _SHORTEST_NS else now_ns


def with_history(
    brake: Plan,
    active: Plan,
    elsewhere: NDArray[np.bool_],
    history_ns: int = round(PLAN_HISTORY * 1e9),
) -> Plan:
    """The braking plan with the active plan's last knots before it, see PLAN_HISTORY.

    Args:
        brake: begins within the active plan.
        active: the plan before.
        elsewhere: bool (A,), joints whose brake does not begin on the active plan; they stand there.
        history_ns: how far they reach back from where the brake begins [ns].
    """
    begin_ns = int(brake.times_ns[0])
    earliest_ns = begin_ns - history_ns
    first = max(int(np.searchsorted(active.times_ns, earliest_ns, side="right")) - 1, 0)
    before = slice(first, int(np.searchsorted(active.times_ns, begin_ns)))
    return Plan(
        np.concatenate([active.times_ns[before], brake.times_ns]),
        np.concatenate([np.where(elsewhere, brake.positions[0], active.positions[before]), brake.positions]),
        np.concatenate([np.where(elsewhere, 0.0, active.velocities[before]), brake.velocities]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class HoldAgain:
    """A HOLD that some joints have not got, and that they brake for anew.

    To send the same plan again would be a step: their arm has gone on along an earlier plan since.

    Attributes:
        sent: the plan to send for these joints; the others stand in it.
        plan: what all joints do from now on.
    """

    sent: Plan
    plan: Plan


def hold_again(
    hold: Plan,
    followed: Plan,
    joints: NDArray[np.int64],
    now_ns: int,
    later_ns: int,
    limits: Limits,
    settings: MotionSettings,
) -> HoldAgain:
    """Brake some joints from an earlier plan, within a HOLD.

    Args:
        hold: the plan of the HOLD.
        followed: the earlier plan that these joints follow, and where they brake from.
        joints: (S,) their indices.
        now_ns: present time [ns].
        later_ns: they brake so much later [ns]: a message that takes no longer makes no step.
        limits: of all joints.
        settings: see there; joints that are never averaged do not decide how fast the others brake.
    """
    own = Plan(followed.times_ns, followed.positions[:, joints], followed.velocities[:, joints])
    scaled = ~settings.ensemble.never_averaged[joints]  # (S,)
    group = BrakeGroup(np.arange(len(joints)), scaled)
    history_ns = round(PLAN_HISTORY * 1e9) + later_ns
    brake, _ = stop(
        own, now_ns + later_ns, limits.of_joints(joints), [group], settings.hold_duration, history_ns
    )
    positions = np.tile(hold.positions[-1], (len(brake.times_ns), 1))  # (K, A)
    velocities = np.zeros_like(positions)  # (K, A)
    positions[:, joints], velocities[:, joints] = brake.positions, brake.velocities
    # A cubic keeps its shape where it gets a further knot, so all knots of both are there.
    kept_ns = hold.times_ns[hold.times_ns > brake.times_ns[0]]
    times_ns = np.union1d(brake.times_ns, kept_ns)  # (K',)
    rows, rates = hold.sample(times_ns)  # (K', A) both
    rows[:, joints], rates[:, joints] = brake.sample(times_ns)
    return HoldAgain(Plan(brake.times_ns, positions, velocities), Plan(times_ns, rows, rates))
