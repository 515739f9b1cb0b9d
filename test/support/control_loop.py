# SPDX-License-Identifier: Apache-2.0
"""The policy node's control timer and motion path on a simulated clock, with fake controllers and streams."""

import numpy as np
from contracts import SMALL_CONTRACT
from motion_helpers import ensemble_settings
from rclpy.logging import get_logger

from dit_policy_ros.core.motion import Chunk, EStop, MotionSettings, MotionState, Pacing, Pipeline
from dit_policy_ros.core.sensing import ObservationBuilder, WatcherLease
from dit_policy_ros.ros.controllers._trajectory_check import check_trajectory
from dit_policy_ros.ros.controllers._trajectory_messages import plan_messages
from dit_policy_ros.ros.policy._clocks import Clocks
from dit_policy_ros.ros.policy._control_watch import ControlSettings, ControlWatch, WatchedInputs
from dit_policy_ros.ros.policy._motion_gate import MotionGate, MotionHooks

PERIOD_NS = 20_000_000
RECOVERY = 0.5  # [s]
CHUNK_TIMEOUT = 2.0  # [s]
START_NS = 1_790_000_000_000_000_000


class FakeControllers:
    """Stands in for ControllerInterface: checks the messages and keeps them."""

    def __init__(self):
        self.lost, self.gripper_fault, self.intruder = {}, "", ""
        self.sent = []  # messages by controller, one entry per plan
        self.on_send = lambda: None

    def unreachable(self):
        return self.lost

    def fault(self, _):
        return self.gripper_fault or (f"controller lost: {list(self.lost)}" if self.lost else "")

    def clock_fault(self, offset, simulated):
        return ""

    def other_commander(self, _):
        return self.intruder

    def standing_if_deviating(self, plan, now_ns):
        return plan

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
        self.on_send()
        self.sent.append(messages)

    def send_hold(self, plan, messages, now_ns):
        self.send(plan, messages, now_ns)

    def missing_hold(self, now_ns):
        return {}

    follows_plan = True  # nothing is streamed

    def begin(self):
        pass

    def forget_earlier_plans(self):
        pass

    def start(self, plan, now_ns):
        pass

    def unacknowledged(self, timeout):
        return []

    def command_grippers(self, plan, now_ns):
        pass


class Loop:
    """Simulates sensor messages at every tick and a chunk at every fifth, unless a test turns them off."""

    def __init__(
        self,
        pacing=Pacing.CONTINUOUS,
        is_simulated=False,
        contract=SMALL_CONTRACT,
        leads=None,
        chunk_timeout=CHUNK_TIMEOUT,
    ):
        """leads: (pipeline) -> Takeover, of a person; None without one."""
        self.now_ns, self.steady_ns, self.tick_ns = START_NS, 0, PERIOD_NS
        self.e_stop = EStop()
        self.lease = WatcherLease(lambda: self.steady_ns)
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
            pacing=pacing,
        )
        pipeline = Pipeline(SMALL_CONTRACT.joints, SMALL_CONTRACT.limits, SMALL_CONTRACT.dt_ns, settings)
        clocks = Clocks(lambda: self.now_ns, lambda: self.steady_ns, is_simulated)
        self.streams = ObservationBuilder(SMALL_CONTRACT, 1)
        self.motion = MotionGate(
            pipeline,
            contract,
            self.controllers,
            clocks,
            MotionHooks(
                self.e_stop,
                lambda: self.pose if self.on["joints"] else None,
                chunk_timeout,
                get_logger("test"),
            ),
            None if leads is None else leads(pipeline),
        )
        self.motion.start(self.pose)
        self.watch = ControlWatch(
            self.motion,
            WatchedInputs(self.streams.joints, self._stream_faults, lost_watcher=self.lease.fault),
            self.controllers,
            clocks,
            ControlSettings(period=PERIOD_NS * 1e-9, recovery_time=lambda: self.recovery_time),
        )
        self.ticks = 0
        self.run(1.5)
        assert self.motion.state is MotionState.RUNNING and self.motion.pipeline.holds == 0

    def _stream_faults(self, now_ns):
        found = self.streams.stale(now_ns)
        return "stale observation: " + "; ".join(found.values()) if found else ""

    def tick(self):
        self.now_ns += self.tick_ns
        self.steady_ns += PERIOD_NS
        self.ticks += 1
        if self.on["joints"]:
            self.streams.joints.push(self.now_ns, self.pose, self.now_ns)
        for name, stream in self.streams.images.items():
            if self.on[name]:
                stream.push(self.now_ns, None, self.now_ns)
        is_due = self.motion.wants_chunks and self.motion.accepts_observation(self.now_ns)
        if self.on["chunks"] and self.ticks % 5 == 0 and is_due:
            self.submit_chunk()
        self.watch.tick()

    def submit_chunk(self):
        """Submit what a policy would infer from an observation of this moment."""
        times = (self.now_ns - START_NS) * 1e-9 + SMALL_CONTRACT.dt * np.arange(31)
        actions = self.chunk_scale * np.stack(
            [0.3 * np.sin(2.0 * times), np.full(31, 0.02), 0.2 * np.sin(3.0 * times)], axis=1
        )
        self.motion.submit_chunk(Chunk(self.now_ns, SMALL_CONTRACT.dt_ns, actions), self.motion.epoch)

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
