# SPDX-License-Identifier: Apache-2.0
"""A controller that follows our plans is never suspected; one that does something else always is."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from contracts import SMALL_CONTRACT

from dit_policy_ros.core.motion import Plan
from dit_policy_ros.ros.controllers._reference_watch import GRACE_NS, ReferenceWatch
from dit_policy_ros.sim.controllers import TrajectoryController

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000
ARM = SMALL_CONTRACT.controllers[0].name
COLUMNS = {each.name: SMALL_CONTRACT.indices(each) for each in SMALL_CONTRACT.controllers}
A = len(SMALL_CONTRACT.joints)
SPEED = 0.5 * SMALL_CONTRACT.limits.velocity  # (A,)


def moving(begin_ns, origin_ns=START_NS, duration_ms=600, speed=SPEED):
    """A plan at constant speed that is zero at `origin_ns`."""
    times = begin_ns + MS * np.arange(0, duration_ms + 1, 30, dtype=np.int64)  # (K,)
    positions = (times - origin_ns)[:, None] * 1e-9 * speed  # (K, A)
    return Plan(times, positions, np.broadcast_to(speed, positions.shape).copy())


def standing(position, now_ns=START_NS):
    return Plan(np.array([now_ns]), np.full((1, A), position), np.zeros((1, A)))


def reference_of(plan, stamp_ns):
    return plan.sample_at(stamp_ns)[0][COLUMNS[ARM]]


@pytest.fixture
def watch():
    watch = ReferenceWatch(SMALL_CONTRACT.joints, SMALL_CONTRACT.limits, COLUMNS)
    watch.start(standing(0.0), {name: np.zeros(len(c)) for name, c in COLUMNS.items()}, START_NS)
    return watch


@pytest.mark.parametrize("offset_ms", [-40, 0, 15, 100])
@pytest.mark.parametrize("delivery_ms", [0, 20, 90])
def test_a_controller_that_follows_is_not_suspected_whatever_its_clock_and_the_network_do(
    watch, offset_ms, delivery_ms
):
    arriving, following = [], standing(0.0)
    for now_ns in range(START_NS, START_NS + 3000 * MS, 5 * MS):
        elapsed = (now_ns - START_NS) // MS
        if elapsed % 100 == 0:
            # Plans begin 130 ms before now and agree where they overlap, as spliced plans do.
            plan = moving(now_ns - 130 * MS, origin_ns=START_NS)
            watch.sent(plan, {ARM}, now_ns)
            arriving.append((now_ns + delivery_ms * MS, plan))
        while arriving and arriving[0][0] <= now_ns:
            following = arriving.pop(0)[1]
        stamp_ns = now_ns - offset_ms * MS
        if elapsed % 20 == 0 and elapsed > 200:
            assert watch.deviation(ARM, reference_of(following, stamp_ns), stamp_ns, now_ns) == ""


def test_the_simulated_controller_of_each_release_is_not_suspected(watch):
    joints = SMALL_CONTRACT.controllers[0].joints
    from dit_policy_ros.ros.controllers._trajectory_messages import plan_messages
    from dit_policy_ros.ros.sim._messages import trajectory_from

    controller = TrajectoryController(ARM, joints, period_ns=5 * MS)
    controller.reset(np.zeros(len(joints)))
    for now_ns in range(START_NS, START_NS + 2000 * MS, 5 * MS):
        if (now_ns - START_NS) % (100 * MS) == 0:
            origin_ns = START_NS + 200 * MS
            plan = moving(now_ns - 120 * MS, origin_ns)
            positions = np.maximum(plan.positions, 0.0)  # (K, A) stands until the origin
            velocities = np.where(plan.positions > 0.0, plan.velocities, 0.0)  # (K, A)
            velocities[-1] = 0.0
            plan = Plan(plan.times_ns, positions, velocities)
            watch.sent(plan, {ARM}, now_ns)
            assert (
                controller.accept(trajectory_from(plan_messages(plan, SMALL_CONTRACT)[ARM]), now_ns) is None
            )
        controller.update(now_ns, np.zeros(len(joints)), np.zeros(len(joints)))
        reference = controller.reference
        assert watch.deviation(ARM, reference.position, reference.time_ns, now_ns) == ""


def test_what_a_joint_moves_in_20_ms_is_tolerated_and_more_is_not(watch):
    tolerated = 0.02 * SMALL_CONTRACT.limits.velocity[COLUMNS[ARM]]  # (A_c,)
    assert watch.deviation(ARM, 0.99 * tolerated, START_NS, START_NS + MS) == ""
    for joint in range(len(tolerated)):
        wrong = np.zeros(len(tolerated))
        wrong[joint] = -1.01 * tolerated[joint]
        text = watch.deviation(ARM, wrong, START_NS, START_NS + 2 * MS)
        assert text.startswith(f"{ARM} moves {SMALL_CONTRACT.joints[COLUMNS[ARM][joint]]} to")


def test_a_plan_that_was_replaced_counts_for_a_while_and_then_no_longer(watch):
    left, right = moving(START_NS), moving(START_NS, speed=-SPEED)
    watch.sent(left, {ARM}, START_NS)
    watch.sent(right, {ARM}, START_NS + 100 * MS)
    for after_ns, is_suspect in ((GRACE_NS - MS, False), (GRACE_NS + MS, True)):
        now_ns = START_NS + 100 * MS + after_ns
        assert bool(watch.deviation(ARM, reference_of(left, now_ns), now_ns, now_ns)) is is_suspect
        assert watch.deviation(ARM, reference_of(right, now_ns), now_ns, now_ns) == ""


def test_a_controller_that_was_off_is_judged_only_after_it_got_a_plan(watch):
    now_ns = START_NS + 500 * MS
    elsewhere = np.full(len(COLUMNS[ARM]), 0.9)
    assert watch.deviation(ARM, elsewhere, now_ns, now_ns) != ""
    watch.lost(ARM)
    assert watch.deviation(ARM, elsewhere, now_ns, now_ns) == ""
    watch.sent(standing(0.0, now_ns), set(), now_ns)  # it did not get this one
    assert watch.deviation(ARM, elsewhere, now_ns, now_ns + 2 * GRACE_NS) == ""
    watch.sent(standing(0.0, now_ns), {ARM}, now_ns + 2 * GRACE_NS)
    assert watch.deviation(ARM, elsewhere, now_ns, now_ns + 3 * GRACE_NS - MS) == ""
    assert watch.deviation(ARM, elsewhere, now_ns, now_ns + 3 * GRACE_NS + MS) != ""


def test_a_controller_that_stands_elsewhere_at_the_start_is_judged_after_the_first_plan():
    watch = ReferenceWatch(SMALL_CONTRACT.joints, SMALL_CONTRACT.limits, COLUMNS)
    elsewhere = np.full(len(COLUMNS[ARM]), 0.4)
    watch.start(standing(0.0), {ARM: elsewhere}, START_NS)
    assert watch.deviation(ARM, elsewhere, START_NS, START_NS + 5000 * MS) == ""
    watch.sent(standing(0.0), {ARM}, START_NS + 5000 * MS)
    assert watch.deviation(ARM, elsewhere, START_NS, START_NS + 5001 * MS + GRACE_NS) != ""


def test_after_the_clock_was_set_back_nothing_is_judged_before_the_next_plan(watch):
    watch.sent(moving(START_NS), {ARM}, START_NS)
    back_ns = START_NS - 1000 * MS
    elsewhere = np.full(len(COLUMNS[ARM]), 0.9)
    assert watch.deviation(ARM, elsewhere, back_ns, back_ns) == ""
    watch.sent(standing(0.0, back_ns), {ARM}, back_ns)
    assert watch.deviation(ARM, elsewhere, back_ns, back_ns + GRACE_NS + MS) != ""
