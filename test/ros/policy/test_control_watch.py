# SPDX-License-Identifier: Apache-2.0
"""Holding and resuming, tick by tick on a clock of the test's own: real motion path, recorded controllers."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from contracts import SMALL_CONTRACT
from motion_helpers import assert_executable, ensemble_settings
from rclpy.logging import get_logger

from dit_policy_ros.core.motion import Chunk, MotionSettings, MotionState, Pipeline
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.ros.controllers._trajectory_check import check_trajectory
from dit_policy_ros.ros.controllers._trajectory_messages import plan_messages
from dit_policy_ros.ros.policy._control_watch import STANDSTILL, ControlWatch
from dit_policy_ros.ros.policy._motion_gate import MotionGate

PERIOD_NS = 20_000_000
RECOVERY = 0.5  # [s]
START_NS = 1_790_000_000_000_000_000


class RecordedControllers:
    """Stands in for ros2_control: keeps plans and what was made of them."""

    def __init__(self):
        self.absent, self.complaint = {}, ""
        self.sent = []  # (time, messages)
        self.time_ns = lambda: 0

    def missing(self):
        return self.absent

    def trouble(self, _):
        return self.complaint or (
            f"no controller listens any more: {list(self.absent)}" if self.absent else ""
        )

    def messages(self, plan):
        return plan_messages(plan, SMALL_CONTRACT)

    def checked_messages(self, plan, now_ns):
        messages = self.messages(plan)
        for name, message in messages.items():
            check_trajectory(message, SMALL_CONTRACT.controller(name), now_ns)
        return messages

    def send(self, messages):
        self.sent.append((self.time_ns(), messages))

    def begin(self, plan):
        pass

    def unacknowledged(self, within):
        return []

    def follow(self, plan, now_ns):
        pass


class Loop:
    """Sensors at every tick and a chunk every fifth, unless a test turns them off."""

    def __init__(self):
        self.now_ns, self.steady_ns, self.tick_ns = START_NS, 0, PERIOD_NS
        self.e_stop = False
        self.on = {"joints": True, "top": True, "wrist": True, "chunks": True}
        self.pose = np.array([0.0, 0.02, 0.0])
        self.stretch = 1.0  # of the chunks
        self.recovery = RECOVERY  # [s]
        self.controllers = RecordedControllers()
        self.controllers.time_ns = lambda: self.now_ns
        joints = len(SMALL_CONTRACT.joints)
        settings = MotionSettings(
            ensemble=ensemble_settings(joints),
            plan_horizon=0.6,
            fade_knots=5,
            soft_start=0.2,
            max_tracking_error=np.array([0.5, np.inf, 0.5]),
        )
        pipeline = Pipeline(SMALL_CONTRACT.joints, SMALL_CONTRACT.limits, SMALL_CONTRACT.dt_ns, settings)
        self.streams = ObservationBuilder(SMALL_CONTRACT, 1)
        self.motion = MotionGate(
            pipeline,
            SMALL_CONTRACT,
            self.controllers,
            lambda: self.now_ns,
            lambda: self.steady_ns,
            False,
            lambda: self.pose if self.on["joints"] else None,
            get_logger("test"),
        )
        self.motion.begin(self.pose)
        self.watch = ControlWatch(
            self.motion,
            self.streams,
            self.streams.stale,
            self.controllers,
            lambda: self.now_ns,
            lambda: self.steady_ns,
            PERIOD_NS * 1e-9,
            lambda: self.recovery,
        )
        self.ticks = 0
        self.run(1.5)
        assert self.motion.state is MotionState.RUNNING and self.motion.pipeline.holds == 0

    def tick(self):
        self.now_ns += self.tick_ns
        self.steady_ns += PERIOD_NS
        self.ticks += 1
        if self.on["joints"]:
            self.streams.joints.push(self.now_ns, self.pose, self.now_ns)
        for name, stream in self.streams.images.items():
            if self.on[name]:
                stream.push(self.now_ns, None, self.now_ns)
        if self.on["chunks"] and self.ticks % 5 == 0 and self.motion.state is not MotionState.HOLD:
            times = (self.now_ns - START_NS) * 1e-9 + SMALL_CONTRACT.dt * np.arange(31)
            actions = self.stretch * np.stack(
                [0.3 * np.sin(2.0 * times), np.full(31, 0.02), 0.2 * np.sin(3.0 * times)], axis=1
            )
            self.motion.offer(Chunk(self.now_ns, SMALL_CONTRACT.dt_ns, actions), self.motion.epoch)
        self.watch.tick(self.e_stop)

    def run(self, seconds):
        for _ in range(round(seconds * 1e9 / PERIOD_NS)):
            self.tick()

    def run_until(self, state, within):
        """Ticks until the state is there; returns how long that took [s]."""
        for k in range(round(within * 1e9 / PERIOD_NS)):
            if self.motion.state is state:
                return k * PERIOD_NS * 1e-9
            self.tick()
        raise AssertionError(f"not {state} within {within} s")


def lose(loop, stream):
    loop.on[stream] = False


def detach(loop):
    loop.controllers.absent = {"arm": "/arm/joint_trajectory"}


def complain(loop):
    loop.controllers.complaint = "hand has not answered a goal for 1 s"


def jump(loop):
    loop.now_ns -= 5_000_000_000


def push_away(loop):
    loop.pose = loop.pose + np.array([0.8, 0.0, 0.0])


def spoil(loop):
    loop.stretch = np.nan


def stop_clock(loop):
    loop.tick_ns = 0


# How it begins, what the reason says, whether it ends by itself, and for how long the contract lets it go
# unnoticed: an age or a time [s].
CAUSES = {
    "camera": (lambda loop: lose(loop, "top"), "stream 'top'", True, 0.5),
    "joint states": (lambda loop: lose(loop, "joints"), "stream 'joint_states'", True, 0.5),
    "no chunks": (lambda loop: lose(loop, "chunks"), "starved", True, 0.6),
    "controller": (detach, "no controller listens any more", True, 0.0),
    "gripper": (complain, "hand has not answered", True, 0.0),
    "clock set": (jump, "set back by 5.000 s", True, 0.0),
    "clock still": (stop_clock, "clock has stood still", True, STANDSTILL),
    "arm pushed away": (push_away, "does not follow: shoulder", False, 0.0),
    "chunk not finite": (spoil, "not finite", False, 0.1),  # the next chunk comes within that
}


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_is_a_hold_of_all_arms_within_two_periods_with_its_reason(cause):
    begin, reason, recoverable, granted = CAUSES[cause]
    loop = Loop()
    begin(loop)
    before = len(loop.controllers.sent)
    took = loop.run_until(MotionState.HOLD, granted + 2.5 * PERIOD_NS * 1e-9)
    assert took <= granted + 2 * PERIOD_NS * 1e-9 + 1e-9
    assert reason in loop.motion.pipeline.hold_reason
    assert loop.motion.recoverable is recoverable
    _, messages = loop.controllers.sent[-1]
    assert set(messages) == {"arm", "hand"}
    assert messages["arm"].header.stamp == messages["hand"].header.stamp
    assert_executable(loop.motion.pipeline.plan, SMALL_CONTRACT.limits)
    sent = len(loop.controllers.sent)
    assert sent > before
    loop.run(1.0)
    if cause not in ("clock set", "no chunks"):  # which are over with the hold
        assert loop.motion.state is MotionState.HOLD
        assert len(loop.controllers.sent) == sent, "a hold is sent once"


@pytest.mark.parametrize("stream", ["top", "wrist", "joints"])
def test_a_stream_that_is_back_must_be_good_for_the_recovery_time(stream):
    loop = Loop()
    lose(loop, stream)
    loop.run_until(MotionState.HOLD, 1.0)
    loop.run(2.0)
    assert loop.motion.state is MotionState.HOLD
    loop.on[stream] = True
    loop.run(RECOVERY - 0.1)
    lose(loop, stream)  # good again, but not for long enough
    loop.run(1.0)
    loop.on[stream] = True
    took = loop.run_until(MotionState.WAITING, 2.0)
    assert RECOVERY <= took <= RECOVERY + 3 * PERIOD_NS * 1e-9
    loop.run_until(MotionState.RUNNING, 1.0)
    plan = loop.motion.pipeline.plan
    assert_executable(plan, SMALL_CONTRACT.limits)


def test_a_recovery_time_that_is_changed_during_a_hold_counts():
    loop = Loop()
    lose(loop, "top")
    loop.run_until(MotionState.HOLD, 1.0)
    loop.recovery = 3.0 * RECOVERY
    loop.on["top"] = True
    took = loop.run_until(MotionState.WAITING, 4.0 * RECOVERY)
    assert loop.recovery <= took <= loop.recovery + 3 * PERIOD_NS * 1e-9


@pytest.mark.parametrize(
    "cause", [name for name, (_, _, recoverable, _) in CAUSES.items() if not recoverable]
)
def test_what_questions_the_policy_or_the_arm_needs_an_operator(cause):
    loop = Loop()
    CAUSES[cause][0](loop)
    loop.run_until(MotionState.HOLD, 1.0)
    loop.stretch, loop.pose = 1.0, loop.motion.pipeline.plan.positions[-1]
    loop.run(10 * RECOVERY)
    assert loop.motion.state is MotionState.HOLD
    assert loop.motion.resume()
    loop.run_until(MotionState.RUNNING, 1.0)


def test_an_operators_stop_makes_a_hold_that_would_end_by_itself_stay():
    loop = Loop()
    lose(loop, "top")
    loop.run_until(MotionState.HOLD, 1.0)
    loop.motion.hold("e-stop")
    loop.on["top"] = True
    loop.run(5 * RECOVERY)
    assert loop.motion.state is MotionState.HOLD and loop.motion.pipeline.hold_reason == "e-stop"


def test_while_the_e_stop_is_latched_nothing_resumes():
    loop = Loop()
    lose(loop, "top")
    loop.run_until(MotionState.HOLD, 1.0)
    loop.e_stop, loop.on["top"] = True, True
    loop.run(5 * RECOVERY)
    assert loop.motion.state is MotionState.HOLD


def test_a_starvation_that_turns_out_to_be_a_dead_stream_names_both():
    loop = Loop()
    loop.on["chunks"] = False
    loop.run_until(MotionState.HOLD, 1.0)
    lose(loop, "top")
    loop.run(1.0)
    reason = loop.motion.pipeline.hold_reason
    assert reason.startswith("starved") and "now stale observation: stream 'top'" in reason


def test_a_chunk_begun_before_a_hold_is_not_followed_after_it():
    loop = Loop()
    epoch = loop.motion.epoch
    loop.motion.hold("test", recoverable=True)
    sent = len(loop.controllers.sent)
    late = Chunk(loop.now_ns, SMALL_CONTRACT.dt_ns, np.zeros((31, 3)))
    assert loop.motion.offer(late, epoch) is None
    loop.on["chunks"] = False
    loop.run(1.0)
    assert loop.motion.state is MotionState.WAITING
    assert loop.motion.offer(late, epoch) is None
    assert len(loop.controllers.sent) == sent


def test_a_clock_that_is_set_during_a_hold_makes_every_joint_resume_from_where_it_is():
    loop = Loop()
    lose(loop, "top")
    loop.run_until(MotionState.HOLD, 1.0)
    jump(loop)
    loop.on["top"] = True
    loop.pose = loop.motion.pipeline.plan.positions[-1] + np.array([0.03, 0.001, 0.03])
    loop.run_until(MotionState.WAITING, 3.0)
    np.testing.assert_allclose(loop.motion.pipeline.plan.positions[0], loop.pose)


def test_the_joints_of_a_controller_that_missed_the_hold_resume_from_where_they_are():
    loop = Loop()
    detach(loop)
    loop.run_until(MotionState.HOLD, 1.0)
    loop.controllers.absent = {}
    loop.pose = loop.motion.pipeline.plan.positions[-1] + np.array([0.1, 0.005, 0.1])
    loop.run_until(MotionState.WAITING, 2.0)
    start = loop.motion.pipeline.plan.positions[0]
    np.testing.assert_allclose(start[[0, 2]], loop.pose[[0, 2]])  # the arm's
    assert start[1] == pytest.approx(loop.pose[1] - 0.005), "the gripper heard the hold"


def test_the_counters_begin_at_zero_with_every_activation():
    loop = Loop()
    loop.motion.end("deactivated", 0.0)
    pipeline = loop.motion.pipeline
    assert pipeline.holds == 1 and pipeline.plans > 0
    loop.motion.begin(loop.pose)
    assert (pipeline.holds, pipeline.plans) == (0, 0)
