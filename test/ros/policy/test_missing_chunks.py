# SPDX-License-Identifier: Apache-2.0
"""A policy that gives no chunk is a fault in every state and pacing, and ends with the next chunk."""

import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from control_loop import CHUNK_TIMEOUT, PERIOD_NS, RECOVERY, Loop
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from policy_watch import running
from ros_testing import call
from small_robot import TASKS
from std_srvs.srv import Trigger
from waiting import wait_for

from dit_policy_ros.core.motion import Chunk, MotionState, Pacing
from dit_policy_ros.msg import PolicyStatus

TICK = PERIOD_NS * 1e-9  # [s]
PACINGS = tuple(Pacing)


def make_waiting(loop):
    """Just resumed, no chunk yet."""
    loop.motion.hold("a stream is stale", recoverable=True)
    loop.run_until(MotionState.WAITING, 5.0)


STATES = {"running": lambda loop: None, "waiting": make_waiting}


@pytest.mark.parametrize("pacing", PACINGS)
@pytest.mark.parametrize("begin", STATES)
def test_without_a_chunk_the_arms_hold_and_the_reason_counts_the_seconds(pacing, begin):
    loop = Loop(pacing)
    STATES[begin](loop)
    loop.on["chunks"] = False
    end_of_motion = 1.5 if pacing is Pacing.STOP_AND_GO else 0.0  # [s] at most, for the chunk under way
    loop.run_until(MotionState.HOLD, end_of_motion + CHUNK_TIMEOUT + 3 * TICK)
    loop.run(CHUNK_TIMEOUT + 2 * TICK)
    assert "no chunk: none for" in loop.motion.pipeline.hold_reason
    seconds = float(loop.motion.overdue_chunk().split("none for ")[1].split()[0])
    assert seconds > CHUNK_TIMEOUT
    loop.run(3.0)
    assert float(loop.motion.overdue_chunk().split("none for ")[1].split()[0]) == pytest.approx(
        seconds + 3.0, abs=0.11
    )
    assert loop.motion.state is MotionState.HOLD and loop.motion.recoverable, "it does not end by itself"
    assert loop.motion.pipeline.hold_reason.endswith(loop.motion.overdue_chunk())
    loop.on["chunks"] = True
    assert loop.run_until(MotionState.WAITING, 2.0) >= RECOVERY
    loop.run_until(MotionState.RUNNING, 1.0)
    assert loop.motion.overdue_chunk() == ""


def test_a_hold_for_want_of_a_chunk_says_what_is_true_however_long_the_timeout_is():
    """A timeout from a latency that was measured on a busy computer may be a minute."""
    loop = Loop(chunk_timeout=60.0)
    loop.on["chunks"] = False
    loop.motion.set_busy(1e-9)  # an inference begins, and hangs
    loop.run_until(MotionState.HOLD, 1.0)
    assert loop.motion.pipeline.hold_reason.startswith("starved")
    loop.run(2.5)
    reason = loop.motion.pipeline.hold_reason
    assert "no chunk: none for" in reason and "an inference has been running for" in reason
    assert reason.startswith("starved") and loop.motion.recoverable
    loop.run(60.0)
    assert "it hangs" in loop.motion.pipeline.hold_reason
    loop.motion.set_busy(0.0)
    loop.on["chunks"] = True
    loop.run_until(MotionState.WAITING, 2.0)


@pytest.mark.parametrize("pacing", PACINGS)
def test_chunks_in_time_are_no_fault(pacing):
    loop = Loop(pacing)
    loop.run(20.0)
    assert loop.motion.pipeline.holds == 0 and loop.motion.pipeline.plans > 5


@pytest.mark.parametrize("pacing", PACINGS)
def test_a_chunk_wanted_during_a_hold_ends_it_even_if_none_was_under_way(pacing):
    loop = Loop(pacing)
    loop.on["chunks"] = False
    loop.run_until(MotionState.HOLD, 6.0)
    for _ in range(200):  # nothing was under way: inference must be asked for
        assert loop.motion.wants_chunks and loop.motion.accepts_observation(loop.now_ns)
        loop.tick()
    loop.submit_chunk()
    assert not loop.motion.wants_chunks, "one answer is enough"
    loop.run_until(MotionState.WAITING, 2.0)


def test_chunks_that_come_too_late_to_be_used_do_not_count():
    loop = Loop()
    loop.on["chunks"] = False
    for _ in range(round(2 * CHUNK_TIMEOUT / TICK)):
        loop.tick()
        if loop.ticks % 5 == 0:
            old = Chunk(loop.now_ns - 3_000_000_000, 33_333_333, loop.pose + [[0.0, 0.0, 0.0]] * 31)
            loop.motion.submit_chunk(old, loop.motion.epoch)
    assert loop.motion.state is MotionState.HOLD
    assert "chunks came too late to be used" in loop.motion.pipeline.hold_reason


@pytest.mark.parametrize("speed", [0.0, 0.02, 0.3])
def test_a_simulation_that_is_paused_or_slow_is_no_fault_of_the_policy(speed):
    loop = Loop(is_simulated=True)
    make_waiting(loop)
    loop.tick_ns = round(speed * PERIOD_NS)
    loop.on["chunks"] = False
    loop.run(0.9 * CHUNK_TIMEOUT / speed if speed else 60.0)
    assert loop.motion.overdue_chunk() == ""
    assert "no chunk" not in loop.motion.pipeline.hold_reason
    if speed:
        loop.run(0.2 * CHUNK_TIMEOUT / speed)
        assert "no chunk" in loop.motion.pipeline.hold_reason


def test_a_hold_for_another_reason_expects_no_chunk_but_names_an_inference_that_hangs():
    loop = Loop()
    loop.e_stop.latch()
    loop.run(10 * CHUNK_TIMEOUT)
    assert not loop.motion.wants_chunks and loop.motion.overdue_chunk() == ""
    loop.motion.set_busy(1e-9)
    loop.run(CHUNK_TIMEOUT - 0.1)
    assert loop.motion.overdue_chunk() == ""
    loop.run(0.2)
    assert "running for" in loop.motion.overdue_chunk()
    loop.motion.set_busy(0.0)
    assert loop.motion.overdue_chunk() == ""


@pytest.mark.parametrize(
    "pacing", [Pacing.CONTINUOUS, pytest.param(Pacing.STOP_AND_GO, marks=pytest.mark.slow)]
)
def test_a_policy_that_hangs_is_reported_and_recovers_when_it_answers(
    ros_domain, checkpoint, monkeypatch, pacing
):
    release, reports = threading.Event(), []
    with running(checkpoint, pacing=pacing.value, chunk_timeout=1.0) as watch:
        watch.robot.create_subscription(DiagnosticArray, "/diagnostics", reports.append, 10)
        policy = watch.policy
        predict = policy.predict
        monkeypatch.setattr(policy, "predict", lambda *a, **k: (release.wait(60.0), predict(*a, **k))[1])
        watch.wait_hold("no chunk: none for")
        assert watch.status.hold_recoverable

        def reported():
            levels = {e.name: e for message in reports[-1:] for e in message.status}
            entry = levels.get("policy: inference")
            return entry and entry.level == DiagnosticStatus.ERROR and "no chunk: none for" in entry.message

        wait_for(reported, 10.0, "an error on /diagnostics")
        refused = call(watch.robot, Trigger, "/policy/resume", Trigger.Request())
        assert not refused.success and "no chunk" in refused.message
        assert watch.task(TASKS[1]).success, "everything else answers"
        release.set()
        watch.wait_state(PolicyStatus.RUNNING, 20.0)
        wait_for(lambda: not reported(), 10.0, "the error ends")
