# SPDX-License-Identifier: Apache-2.0
"""Holding and resuming, tick by tick on a simulated clock, with the real motion path and fake controllers."""

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
from dit_policy_ros.ros.policy._clocks import Clocks
from dit_policy_ros.ros.policy._control_watch import STANDSTILL, ControlSettings, ControlWatch
from dit_policy_ros.ros.policy._motion_gate import MotionGate

PERIOD_NS = 20_000_000
RECOVERY = 0.5  # [s]
START_NS = 1_790_000_000_000_000_000


class FakeControllers:
    """Stands in for ControllerInterface: checks the messages and keeps them."""

    def __init__(self):
        self.lost, self.gripper_fault, self.intruder = {}, "", ""
        self.sent = []  # messages by controller, one entry per plan

    def unreachable(self):
        return self.lost

    def fault(self, _):
        return self.gripper_fault or (f"controller lost: {list(self.lost)}" if self.lost else "")

    def clock_fault(self, offset, simulated):
        return ""

    def other_commander(self, _):
        return self.intruder

    def reference_pose(self, measured, tolerance):
        return measured.copy(), np.zeros(len(measured), dtype=bool)

    def messages(self, plan):
        return plan_messages(plan, SMALL_CONTRACT)

    def checked_messages(self, plan, now_ns):
        messages = self.messages(plan)
        for name, message in messages.items():
            check_trajectory(message, SMALL_CONTRACT.controller(name), now_ns)
        return messages

    def send(self, plan, messages, now_ns):
        self.sent.append(messages)

    def start(self, plan, now_ns):
        pass

    def unacknowledged(self, timeout):
        return []

    def command_grippers(self, plan, now_ns):
        pass


class Loop:
    """Simulates sensor messages at every tick and a chunk at every fifth, unless a test turns them off."""

    def __init__(self):
        self.now_ns, self.steady_ns, self.tick_ns = START_NS, 0, PERIOD_NS
        self.e_stop = False
        self.on = {"joints": True, "top": True, "wrist": True, "chunks": True}
        self.pose = np.array([0.0, 0.02, 0.0])
        self.chunk_scale = 1.0
        self.recovery_time = RECOVERY  # [s]
        self.controllers = FakeControllers()
        joints = len(SMALL_CONTRACT.joints)
        settings = MotionSettings(
            ensemble=ensemble_settings(joints),
            plan_horizon=0.6,
            fade_knots=5,
            soft_start=0.2,
            max_tracking_error=np.array([0.5, np.inf, 0.5]),
        )
        pipeline = Pipeline(SMALL_CONTRACT.joints, SMALL_CONTRACT.limits, SMALL_CONTRACT.dt_ns, settings)
        clocks = Clocks(lambda: self.now_ns, lambda: self.steady_ns, is_simulated=False)
        self.streams = ObservationBuilder(SMALL_CONTRACT, 1)
        self.motion = MotionGate(
            pipeline,
            SMALL_CONTRACT,
            self.controllers,
            clocks,
            lambda: self.pose if self.on["joints"] else None,
            get_logger("test"),
        )
        self.motion.start(self.pose)
        self.watch = ControlWatch(
            self.motion,
            self.streams,
            self.streams.stale,
            self.controllers,
            clocks,
            ControlSettings(period=PERIOD_NS * 1e-9, recovery_time=lambda: self.recovery_time),
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
            actions = self.chunk_scale * np.stack(
                [0.3 * np.sin(2.0 * times), np.full(31, 0.02), 0.2 * np.sin(3.0 * times)], axis=1
            )
            self.motion.submit_chunk(Chunk(self.now_ns, SMALL_CONTRACT.dt_ns, actions), self.motion.epoch)
        self.watch.tick(self.e_stop)

    def run(self, seconds):
        for _ in range(round(seconds * 1e9 / PERIOD_NS)):
            self.tick()

    def run_until(self, state, within):
        """Tick until the state is reached; return how long that took [s]."""
        for k in range(round(within * 1e9 / PERIOD_NS)):
            if self.motion.state is state:
                return k * PERIOD_NS * 1e-9
            self.tick()
        raise AssertionError(f"not {state} within {within} s")


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
    if fault not in ("clock set", "no chunks"):  # those faults end with the hold
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
    assert loop.motion.resume()
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
    loop.e_stop, loop.on["top"] = True, True
    loop.run(5 * RECOVERY)
    assert loop.motion.state is MotionState.HOLD


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
    assert loop.motion.submit_chunk(late, epoch) is None
    assert len(loop.controllers.sent) == sent


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


def test_counters_start_at_zero_with_every_activation():
    loop = Loop()
    loop.motion.stop("deactivated", 0.0)
    pipeline = loop.motion.pipeline
    assert pipeline.holds == 1 and pipeline.plans > 0
    loop.motion.start(loop.pose)
    assert (pipeline.holds, pipeline.plans) == (0, 0)
