# SPDX-License-Identifier: Apache-2.0
"""The control loop with a person who has a leader arm, and a watcher of everything that is commanded."""

from dataclasses import replace

import numpy as np
from contracts import SMALL_CONTRACT
from control_loop import PERIOD_NS, START_NS, Loop
from motion_helpers import assert_executable

from dit_policy_ros.core.motion import Plan
from dit_policy_ros.core.sensing import JointBuffer, StreamSettings
from dit_policy_ros.core.takeover import LeaderAccess, LeaderTrack, PersonSettings, Takeover, TakeoverMode

CONTRACT = replace(SMALL_CONTRACT, rest_pose=(0.5, 0.01, -0.5))
EVERYTHING = np.arange(3)
_SAME = 1e-6  # [rad or m, per s] of two plans where one takes over from the other


class Person(Loop):
    """The leader stands at `leader` (3,), unless a test moves it with `move` [s] -> (3,)."""

    def __init__(self, mode=TakeoverMode.CLUTCH, joints=EVERYTHING, by_motion=0.0, **changes):
        names = tuple(CONTRACT.joints[i] for i in joints)
        settings = StreamSettings("leader", 0.2, 10_000, 2.0, "leader", "takeover.timeout")
        stream = JointBuffer(settings, names, configured_in="takeover")
        limits, grippers = CONTRACT.limits.of_joints(joints), CONTRACT.gripper_mask[joints]
        self.track = LeaderTrack(names, stream, limits, grippers)
        tolerance = np.array([0.1, 0.01, 0.1])[joints]
        access = LeaderAccess(
            self.track, joints, PersonSettings(mode, tolerance, CONTRACT.dt_ns), by_motion=by_motion
        )
        self.leader, self.move, self.speaks = np.zeros(3), None, True
        self._joints, self.plans, self.commands = joints, [], []
        super().__init__(contract=CONTRACT, leads=lambda line: Takeover(line, CONTRACT, access), **changes)
        self.controllers.on_send = self.check

    def tick(self):
        if self.speaks:
            values = self.leader if self.move is None else self.move((self.now_ns - START_NS) * 1e-9)
            self.track.push(
                self.now_ns + PERIOD_NS, np.asarray(values)[self._joints], self.now_ns + PERIOD_NS
            )
        super().tick()
        self.commands.append(self.motion.pipeline.plan.sample_at(self.now_ns)[0])
        self.pose = self.commands[-1]  # the arms do what they are told

    def check(self) -> None:
        """No limit is violated anywhere in the plan, and it begins as the one before is at this moment."""
        plan: Plan = self.motion.pipeline.plan
        assert_executable(plan, CONTRACT.limits)
        if self.plans:
            before, after = self.plans[-1].sample_at(self.now_ns), plan.sample_at(self.now_ns)
            for name, old, new in zip(("position", "velocity"), before, after, strict=True):
                assert np.abs(old - new).max() < _SAME, f"a step of {name}: {old} to {new}"
        self.plans.append(plan)
