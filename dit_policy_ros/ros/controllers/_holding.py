# SPDX-License-Identifier: Apache-2.0
"""Sends the plan of a HOLD, and sees to it that the arms hold: a HOLD is a state, not a message."""

import numpy as np
from numpy.typing import NDArray
from rclpy.impl.rcutils_logger import RcutilsLogger
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion import FROZEN_INTERVALS, Pipeline, Plan, check_plan, hold_again
from dit_policy_ros.ros.controllers._controller_interface import ControllerInterface


class Holding:
    """What the controllers do in the present HOLD. The caller serialises the calls.

    Attributes:
        missed: controllers that did not get the present HOLD, or were away since.
    """

    def __init__(
        self, pipeline: Pipeline, contract: Contract, controllers: ControllerInterface, logger: RcutilsLogger
    ) -> None:
        """Begin without a HOLD.

        Args:
            pipeline: its limits and settings.
            contract: the joints of each controller.
            controllers: get the plans.
            logger: gets what is wrong with them.
        """
        self.missed: set[str] = set()
        self._pipeline, self._contract = pipeline, contract
        self._controllers, self._logger = controllers, logger
        self._plan: Plan | None = None  # as it was sent; None without a HOLD

    @property
    def missed_joints(self) -> NDArray[np.bool_]:
        """The joints (A,) of the controllers in ``missed``."""
        joints = np.zeros(self._contract.action_dim, dtype=bool)  # (A,)
        for name in self.missed:
            joints[self._contract.indices(name)] = True
        return joints

    def at_rest(self, now_ns: int) -> bool:
        """Whether what was sent is at rest at ``now_ns``, also where it was sent again."""
        if self._plan is None:
            return True
        return self._controllers.follows_plan and not self._plan.sample_at(now_ns)[1].any()

    def send(self, plan: Plan, now_ns: int, *, clock_was_set: bool = False) -> None:
        """Begin a HOLD with a braking plan.

        Args:
            plan: it.
            now_ns: present time [ns].
            clock_was_set: whether the stamps of earlier plans mean nothing now.
        """
        self.missed = set(self._controllers.unreachable())
        plan = self._controllers.standing_if_deviating(plan, now_ns)
        self._controllers.send_hold(plan, self._messages(plan, now_ns), now_ns)
        self._plan = plan
        if clock_was_set:
            self._controllers.forget_earlier_plans()

    def repeat(self, now_ns: int) -> None:
        """Send the HOLD again where a controller follows an earlier plan; it brakes or stands from there."""
        if self._plan is None:
            return
        for name, followed in self._controllers.missing_hold(now_ns).items():
            joints = self._contract.indices(name)  # (A_c,)
            # What is executed in the next two periods does not change, as with every plan.
            later_ns = FROZEN_INTERVALS * self._contract.dt_ns
            pipeline = self._pipeline
            again = hold_again(
                self._plan, followed, joints, now_ns, later_ns, pipeline.limits, pipeline.settings
            )
            message = self._messages(again.sent, now_ns)[name]
            self._controllers.send_hold_again(name, message, again.plan, now_ns)
            self._plan = again.plan
            self.missed.add(name)  # what it does, it says itself; what it was sent first, it does not do
            self._logger.warning(f"{name} follows an earlier plan: the HOLD is sent to it again")

    def clock_was_set(self) -> None:
        """Nothing that was sent before is where we think it is."""
        self.missed |= {controller.name for controller in self._contract.controllers}
        self._controllers.forget_earlier_plans()

    def end(self) -> None:
        """Motion begins, or begins again."""
        self.missed.clear()
        self._plan = None
        self._controllers.begin()

    def _messages(self, plan: Plan, now_ns: int) -> dict[str, JointTrajectory]:
        pipeline = self._pipeline
        try:
            # A HOLD stays where the arms are, even outside the limits.
            check_plan(plan, pipeline.limits, pipeline.joints, now_ns, outside=np.inf)
            return self._controllers.checked_messages(plan, now_ns)
        except PlanRejected as error:  # an imperfect braking plan is better than none
            self._logger.error(f"the braking plan breaks a rule, and is sent all the same: {error}")
            return self._controllers.messages(plan)
