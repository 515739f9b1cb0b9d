# SPDX-License-Identifier: Apache-2.0
"""Holding and resuming, tick by tick on a simulated clock, with the real motion path and fake controllers."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from contracts import SMALL_CONTRACT
from control_loop import PERIOD_NS, RECOVERY, Loop
from motion_helpers import assert_executable

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion import Chunk, MotionState
from dit_policy_ros.core.sensing import LEFT
from dit_policy_ros.ros.policy._control_watch import STANDSTILL


def lose(loop, stream):
    loop.on[stream] = False


def lose_controller(loop):
    loop.controllers.lost = {"arm": "/arm/joint_trajectory"}


def hang_gripper(loop):
    loop.controllers.gripper_fault = "hand has not answered a goal for 1 s"


def set_clock_back(loop):
    loop.now_ns -= 5_000_000_000


def push_arm(loop):
    loop.pose = loop.pose + np.array([0.8, 0.0, 0.0])


def send_nan(loop):
    loop.chunk_scale = np.nan


def stop_clock(loop):
    loop.tick_ns = 0


# Each fault: how it begins, what the reason of the HOLD contains, whether the HOLD ends by itself, and after
# what time the fault can be noticed [s], for example the max_age of a stream.
FAULTS = {
    "camera": (lambda loop: lose(loop, "top"), "stream 'top'", True, 0.5),
    "joint states": (lambda loop: lose(loop, "joints"), "stream 'joint_states'", True, 0.5),
    "no chunks": (lambda loop: lose(loop, "chunks"), "starved", True, 0.6),
    "controller": (lose_controller, "controller lost", True, 0.0),
    "gripper": (hang_gripper, "hand has not answered", True, 0.0),
    "clock set": (set_clock_back, "set back by 5.000 s", True, 0.0),
    "clock still": (stop_clock, "the clock stands still", True, STANDSTILL),
    "arm pushed away": (push_arm, "tracking error: shoulder", False, 0.0),
    "chunk not finite": (send_nan, "not finite", False, 0.1),  # until the next chunk
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_holds_all_arms_within_two_periods_and_names_its_reason(fault):
    begin, reason, recoverable, noticed_after = FAULTS[fault]
    loop = Loop()
    begin(loop)
    before = len(loop.controllers.sent)
    took = loop.run_until(MotionState.HOLD, noticed_after + 2.5 * PERIOD_NS * 1e-9)
    assert took <= noticed_after + 2 * PERIOD_NS * 1e-9 + 1e-9
    assert reason in loop.motion.pipeline.hold_reason
    assert loop.motion.recoverable is recoverable
    messages = loop.controllers.sent[-1]
    assert set(messages) == {"arm", "hand"}
    assert messages["arm"].header.stamp == messages["hand"].header.stamp
    assert_executable(loop.motion.pipeline.plan, SMALL_CONTRACT.limits)
    sent = len(loop.controllers.sent)
    assert sent > before
    loop.run(1.0)
    if fault != "clock set":  # that fault ends with the hold
        assert loop.motion.state is MotionState.HOLD
        assert len(loop.controllers.sent) == sent, "a hold is sent once"


@pytest.mark.parametrize("stream", ["top", "wrist", "joints"])
def test_motion_resumes_after_a_stream_has_been_back_for_the_recovery_time(stream):
    loop = Loop()
    lose(loop, stream)
    loop.run_until(MotionState.HOLD, 1.0)
    loop.run(2.0)
    assert loop.motion.state is MotionState.HOLD
    loop.on[stream] = True
    loop.run(RECOVERY - 0.1)
    lose(loop, stream)  # it was back, but too briefly
    loop.run(1.0)
    loop.on[stream] = True
    took = loop.run_until(MotionState.WAITING, 2.0)
    assert RECOVERY <= took <= RECOVERY + 3 * PERIOD_NS * 1e-9
    loop.run_until(MotionState.RUNNING, 1.0)
    plan = loop.motion.pipeline.plan
    assert_executable(plan, SMALL_CONTRACT.limits)


def test_changing_the_recovery_time_during_a_hold_takes_effect():
    loop = Loop()
    lose(loop, "top")
    loop.run_until(MotionState.HOLD, 1.0)
    loop.recovery_time = 3.0 * RECOVERY
    loop.on["top"] = True
    took = loop.run_until(MotionState.WAITING, 4.0 * RECOVERY)
    assert loop.recovery_time <= took <= loop.recovery_time + 3 * PERIOD_NS * 1e-9


@pytest.mark.parametrize(
    "fault", [name for name, (_, _, recoverable, _) in FAULTS.items() if not recoverable]
)
def test_a_fault_of_the_policy_or_of_an_arm_needs_an_operator(fault):
    loop = Loop()
    FAULTS[fault][0](loop)
    loop.run_until(MotionState.HOLD, 1.0)
    loop.chunk_scale, loop.pose = 1.0, loop.motion.pipeline.plan.positions[-1]
    loop.run(10 * RECOVERY)
    assert loop.motion.state is MotionState.HOLD
    assert loop.motion.resume() == ""
    loop.run_until(MotionState.RUNNING, 1.0)


def test_an_e_stop_during_a_recoverable_hold_makes_it_stay():
    loop = Loop()
    lose(loop, "top")
    loop.run_until(MotionState.HOLD, 1.0)
    loop.motion.hold("e-stop")
    loop.on["top"] = True
    loop.run(5 * RECOVERY)
    assert loop.motion.state is MotionState.HOLD and loop.motion.pipeline.hold_reason == "e-stop"


def test_nothing_resumes_while_the_e_stop_is_latched():
    loop = Loop()
    lose(loop, "top")
    loop.run_until(MotionState.HOLD, 1.0)
    loop.e_stop.latch()
    loop.on["top"] = True
    loop.run(5 * RECOVERY)
    assert loop.motion.state is MotionState.HOLD


@pytest.mark.parametrize("ticks", range(1, 6))  # since the last plan
@pytest.mark.parametrize("by", [5, 20, 33, 50, 80, 99, 101])  # [ms]
def test_a_clock_set_back_a_little_rejects_no_plan_and_ends_by_itself(by, ticks):
    loop = Loop()
    while loop.ticks % 5 != ticks % 5:
        loop.tick()
    expected_ns, before = loop.now_ns, loop.motion.pipeline.plan
    loop.now_ns -= by * 1_000_000
    loop.run(0.3)
    assert "rejected" not in loop.motion.pipeline.hold_reason
    if loop.motion.pipeline.holds:
        assert loop.motion.recoverable and "the clock was set back" in loop.motion.pipeline.hold_reason
        hold = loop.motion.pipeline.plan.positions[0]
        there = before.sample(expected_ns + np.arange(-by, 41) * 1_000_000)[0]
        assert (hold >= there.min(axis=0) - 1e-4).all() and (hold <= there.max(axis=0) + 1e-4).all()
    loop.run_until(MotionState.RUNNING, 3.0)


def test_a_starvation_caused_by_a_dead_stream_names_both():
    loop = Loop()
    loop.on["chunks"] = False
    loop.run_until(MotionState.HOLD, 1.0)
    lose(loop, "top")
    loop.run(1.0)
    reason = loop.motion.pipeline.hold_reason
    assert reason.startswith("starved") and "now stale observation: stream 'top'" in reason


def test_a_chunk_whose_inference_began_before_a_hold_is_dropped():
    loop = Loop()
    epoch = loop.motion.epoch
    loop.motion.hold("test", recoverable=True)
    sent = len(loop.controllers.sent)
    late = Chunk(loop.now_ns, SMALL_CONTRACT.dt_ns, np.zeros((31, 3)))
    assert loop.motion.submit_chunk(late, epoch) is None
    loop.on["chunks"] = False
    loop.run(1.0)
    assert loop.motion.state is MotionState.WAITING
    late = Chunk(loop.now_ns, SMALL_CONTRACT.dt_ns, np.zeros((31, 3)))  # nothing but its epoch is wrong
    assert loop.motion.submit_chunk(late, epoch) is None
    assert len(loop.controllers.sent) == sent
    assert loop.motion.submit_chunk(late, loop.motion.epoch) is not None


def test_a_chunk_whose_inference_began_in_a_hold_is_dropped_after_it():
    loop = Loop()
    loop.on["chunks"] = False
    loop.motion.hold("a collision")
    epoch = loop.motion.epoch
    loop.run(1.0)
    assert loop.motion.resume() == ""
    sent = len(loop.controllers.sent)
    chunk = Chunk(loop.now_ns, SMALL_CONTRACT.dt_ns, np.zeros((31, 3)))
    assert loop.motion.submit_chunk(chunk, epoch) is None and len(loop.controllers.sent) == sent
    assert loop.motion.submit_chunk(chunk, loop.motion.epoch) is not None


def test_after_a_stop_nothing_moves_the_arms_any_more():
    loop = Loop()
    loop.motion.stop("deactivated", 0.0)
    sent = len(loop.controllers.sent)
    loop.run(1.0)
    for call in (loop.motion.resume, loop.motion.recover, loop.motion.home, loop.watch.home):
        assert call(), call
    assert "not active" in loop.motion.resume()
    assert loop.motion.state is MotionState.HOLD and len(loop.controllers.sent) == sent


@pytest.mark.parametrize("what", ["lost", "intruder", "gripper_fault"])
def test_a_chunk_for_a_controller_that_would_jump_is_dropped_before_a_tick_holds(what):
    loop = Loop()
    setattr(loop.controllers, what, {"arm": "gone"} if what == "lost" else "another commander")
    sent = len(loop.controllers.sent)
    loop.submit_chunk()
    assert len(loop.controllers.sent) == sent and loop.motion.state is MotionState.RUNNING


def test_resume_is_refused_while_a_joint_is_outside_its_limits():
    loop = Loop()
    loop.motion.hold("a collision")
    loop.run(1.0)
    inside, loop.pose = loop.pose, loop.pose + np.array([5.0, 0.0, 0.0])
    assert "shoulder is at 5, outside its limits" in loop.motion.resume()
    # Its controller still commands a place inside: the arm would swing back to it.
    loop.controllers.reference_pose = lambda *_: (inside, np.ones(3, dtype=bool))
    assert "shoulder is at 5, outside its limits" in loop.motion.resume()
    assert loop.motion.state is MotionState.HOLD
    loop.pose = inside
    assert loop.motion.resume() == ""


def test_after_a_clock_jump_during_a_hold_every_joint_resumes_from_its_measured_position():
    loop = Loop()
    lose(loop, "top")
    loop.run_until(MotionState.HOLD, 1.0)
    set_clock_back(loop)
    loop.on["top"] = True
    loop.pose = loop.motion.pipeline.plan.positions[-1] + np.array([0.03, 0.001, 0.03])
    loop.run_until(MotionState.WAITING, 3.0)
    np.testing.assert_allclose(loop.motion.pipeline.plan.positions[0], loop.pose)


def test_joints_whose_controller_missed_the_hold_resume_from_their_measured_position():
    loop = Loop()
    lose_controller(loop)
    loop.run_until(MotionState.HOLD, 1.0)
    loop.controllers.lost = {}
    loop.pose = loop.motion.pipeline.plan.positions[-1] + np.array([0.1, 0.005, 0.1])
    loop.run_until(MotionState.WAITING, 2.0)
    start = loop.motion.pipeline.plan.positions[0]
    np.testing.assert_allclose(start[[0, 2]], loop.pose[[0, 2]])  # the arm's
    assert start[1] == pytest.approx(loop.pose[1] - 0.005), "the gripper got the hold"


def test_resume_is_refused_while_an_end_effector_is_turned_too_far(monkeypatch):
    loop = Loop()
    loop.run(0.5)
    loop.motion.hold("a test")
    loop.run(0.5)
    monkeypatch.setattr(Contract, "outside_workspace", lambda *_: "left_ee is turned by 3.1 rad")
    assert loop.motion.resume() == "left_ee is turned by 3.1 rad"
    monkeypatch.undo()
    assert loop.motion.resume() == ""


def test_a_joint_outside_its_limits_does_not_resume_by_itself_and_says_why():
    loop = Loop()
    lose_controller(loop)
    loop.run_until(MotionState.HOLD, 1.0)
    loop.controllers.lost = {}
    limit = SMALL_CONTRACT.limits.position_max[0]
    loop.pose = np.array([limit + 0.4, 0.02, 0.0])  # moved by hand while its controller was away
    loop.run(4 * RECOVERY)
    assert loop.motion.state is MotionState.HOLD and loop.motion.recoverable
    assert "shoulder is at" in loop.motion.pipeline.hold_reason
    assert "move it back by hand" in loop.motion.pipeline.hold_reason
    assert "move it back by hand" in loop.motion.resume(), "an operator cannot resume either"
    loop.pose = np.array([limit + 0.015, 0.02, 0.0])
    loop.run_until(MotionState.WAITING, 3.0)
    np.testing.assert_allclose(loop.motion.pipeline.plan.positions[0], loop.pose, rtol=0, atol=1e-12)
    loop.run_until(MotionState.RUNNING, 1.0)
    assert loop.motion.pipeline.plan.positions[0, 0] == pytest.approx(limit + 0.015, abs=1e-6), "no step"


def test_activation_refuses_a_joint_outside_its_limits_also_after_preflight():
    loop = Loop()
    loop.motion.stop("deactivated", 0.0)
    sent = len(loop.controllers.sent)
    with pytest.raises(PlanRejected, match="move it back by hand"):
        loop.motion.start(SMALL_CONTRACT.limits.position_max + np.array([0.1, 0.0, 0.0]))
    loop.submit_chunk()
    assert len(loop.controllers.sent) == sent, "motion stays closed"


def test_counters_start_at_zero_with_every_activation():
    loop = Loop()
    loop.motion.stop("deactivated", 0.0)
    pipeline = loop.motion.pipeline
    assert pipeline.holds == 1 and pipeline.plans > 0
    loop.motion.start(loop.pose)
    assert (pipeline.holds, pipeline.plans) == (0, 0)


def test_a_watcher_who_becomes_silent_is_a_hold_within_a_tick_and_only_an_operator_goes_on():
    """Tick by tick: he speaks at each, then no more; what else is fine does not end the HOLD."""
    loop = Loop()
    lease = loop.lease
    lease.begin(0.41)  # between two ticks
    for _ in range(40):
        lease.hear("the panel on desk", "")
        loop.tick()
        assert loop.motion.state is MotionState.RUNNING
    took = loop.run_until(MotionState.HOLD, 0.5)
    assert 0.38 < took < 0.45
    assert "the panel on desk" in loop.motion.pipeline.hold_reason and not loop.motion.recoverable
    lease.hear("the panel on desk", "")
    for _ in range(round(4 * RECOVERY * 1e9 / PERIOD_NS)):
        lease.hear("the panel on desk", "")
        loop.tick()
    assert loop.motion.state is MotionState.HOLD, "that he speaks again moves nothing"
    assert loop.motion.resume() == ""
    lease.hear("the panel on desk", LEFT)
    for _ in range(60):
        loop.tick()
        assert loop.motion.state is not MotionState.HOLD, "he has left with a word"
