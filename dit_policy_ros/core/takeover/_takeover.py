# SPDX-License-Identifier: Apache-2.0
"""Who drives the arms instead of the policy: a person, or the way to the rest pose.

The motion gate owns it and makes every call under the lock of all motion.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.motion import MotionState, Pacing, Pipeline, Plan
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.takeover._homing import HomingLead
from dit_policy_ros.core.takeover._lead import Lead
from dit_policy_ros.core.takeover._person import LeaderAccess, PersonLead

_SPARE_ROWS = 4  # beyond the plan horizon
_MOTION_WINDOW_NS = 500_000_000  # in which a leader must move to take over
_FIRST_ROWS_NS = 75_000_000  # so old are the leader's samples that the first rows of a lead follow
_STILL_SHARE = 0.3  # of that motion; a leader that moves less is at rest
NO_LEADER = (
    "there is no leader: set takeover.source (leader, joint_state or array) and takeover.topic, and "
    "configure again"
)


class Takeover:
    """Begins and ends a lead, and asks it where the arms should be.

    Args:
        pipeline: of the motion.
        contract: joints and rest pose.
        leader: of a person; None if there is none.

    Attributes:
        lead: None while the policy drives all joints.
        is_homing: whether it is the way to the rest pose.
    """

    def __init__(self, pipeline: Pipeline, contract: Contract, leader: LeaderAccess | None = None) -> None:
        self.lead: Lead | None = None
        self.is_homing = False
        self._pipeline, self._contract, self._leader = pipeline, contract, leader
        self._rows = math.ceil(pipeline.settings.plan_horizon / contract.dt) + _SPARE_ROWS
        self._first_ns = 0  # first row of the newest actions
        self._is_armed = False  # whether the leader has rested since somebody drove

    @property
    def text(self) -> str:
        """What the person at the robot should know or do now; empty while the policy drives."""
        lead = self.lead  # read once: it is asked by other threads, too
        return "" if lead is None else lead.text

    @property
    def human_joints(self) -> list[str]:
        """Names of the joints that a person drives now."""
        led = () if self.is_homing else np.flatnonzero(self._pipeline.led)
        return [self._pipeline.joints[i] for i in led]

    def led_by(self, controllers: Sequence[str], now_ns: int) -> NDArray[np.bool_] | str:
        """The joints of controllers, bool (A,), that a person can drive from ``now_ns`` [ns] on.

        Without a name they are all that the leader moves. A text says why nobody can.
        """
        if self._leader is None:
            return NO_LEADER
        if self.is_homing:
            return "the arms are on the way to the rest pose: call ~/resume first"
        if fault := self._leader.track.fault(now_ns, now_ns - _FIRST_ROWS_NS):
            return fault
        leaders = np.zeros(self._contract.action_dim, dtype=bool)  # (A,)
        leaders[self._leader.joints] = True
        known = [each.name for each in self._contract.controllers]
        if unknown := sorted(set(controllers) - set(known)):
            return f"there is no controller {listing(map(repr, unknown))}; the contract has: {listing(known)}"
        led = np.zeros_like(leaders)
        for name in controllers:
            led[self._contract.indices(name)] = True
        if (led & ~leaders).any():
            joints = [self._contract.joints[i] for i in np.flatnonzero(led & ~leaders)]
            return f"the leader does not move {listing(joints)} (takeover.controllers)"
        led = led if controllers else leaders
        if not led.all() and self._pipeline.settings.pacing is Pacing.STOP_AND_GO:
            return "pacing is stop_and_go, where the policy waits for rest: take over all controllers"
        return led

    def begin(self, led: NDArray[np.bool_], now_ns: int) -> None:
        """Let the person drive the joints ``led`` (A,), of `led_by`. What is driven already goes on."""
        leader = self._leader
        if leader is None:
            raise ValueError(NO_LEADER)
        former = self.lead if isinstance(self.lead, PersonLead) else None
        led = led & ~self._pipeline.led
        if former is not None and not led.any():
            return
        base = self._pipeline.take_over(led, now_ns)
        self._begin(PersonLead(leader, led, base, now_ns, former), is_homing=False)

    @property
    def no_home(self) -> str:
        """Why the arms cannot go to the rest pose; empty if they can."""
        if self._contract.rest_pose:
            return ""
        return "the contract has no rest pose: add rest_pose with a position for each joint"

    def home(self, velocity_scale: float, now_ns: int) -> None:
        """Go to the rest pose, which there is."""
        everything = np.ones(self._contract.action_dim, dtype=bool)  # (A,)
        base: Plan = self._pipeline.take_over(everything, now_ns)
        pose = np.array(self._contract.rest_pose)  # (A,)
        self._begin(HomingLead(base, pose, self._contract.limits, velocity_scale), is_homing=True)

    def end(self) -> None:
        """The policy drives all joints again, or the arms hold."""
        self.lead, self.is_homing, self._is_armed = None, False, False

    def is_wanted(self, now_ns: int) -> bool:
        """Whether a person moves the leader to take over now."""
        leader = self._leader
        if leader is None or not leader.by_motion or self._pipeline.state is not MotionState.RUNNING:
            return False
        moved = leader.track.moved(_MOTION_WINDOW_NS)
        if moved < _STILL_SHARE * leader.by_motion:
            self._is_armed = True
        # A jump or a broken message among the samples is no hand that moves.
        is_sound = not leader.track.fault(now_ns, now_ns - _MOTION_WINDOW_NS)
        return self._is_armed and moved >= leader.by_motion and is_sound

    def actions(self, now_ns: int) -> NDArray[np.float64] | None:
        """Where the led joints should be from the first free knot on, (T, A); None if it was asked before."""
        first_ns = self._pipeline.first_free_ns(now_ns)
        if self.lead is None or first_ns == self._first_ns:
            return None
        self._first_ns = first_ns
        return self.lead.actions(first_ns + self._contract.dt_ns * np.arange(self._rows))

    def _begin(self, lead: Lead, is_homing: bool) -> None:
        self.lead, self.is_homing, self._first_ns = lead, is_homing, 0
