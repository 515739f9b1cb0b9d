# SPDX-License-Identifier: Apache-2.0
"""The controllers of the contract as the policy node reaches them, each by the door that its type has."""

from collections.abc import Callable

import numpy as np
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import Contract, ControllerType
from dit_policy_ros.core.motion import Plan
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.controllers._controller_parameters import ControllerParameters
from dit_policy_ros.ros.controllers._gripper_client import GripperClient
from dit_policy_ros.ros.controllers._trajectory_check import check_trajectory
from dit_policy_ros.ros.controllers._trajectory_messages import plan_messages


class ControllerInterface:
    """Trajectories go out as one message per controller and plan, gripper goals as the plan proceeds."""

    def __init__(
        self,
        node: LifecycleNode,
        contract: Contract,
        on_rejected: Callable[[str], None],
        address: Callable[[str], str] = str,
    ) -> None:
        """Create publishers and clients.

        Args:
            address: the topic for what would go to a controller's topic.
            on_rejected: told why, when a gripper's controller does not take a goal.

        Raises:
            ContractError: a type of controller needs what is not installed.
        """
        self._node, self._contract = node, contract
        low, high = contract.limits.position_min, contract.limits.position_max  # (A,)
        self._columns = {each.name: contract.indices(each) for each in contract.controllers}
        self.grippers = {
            each.name: GripperClient(node, each, float((high - low)[contract.indices(each)[0]]), on_rejected)
            for each in contract.controllers
            if each.type is ControllerType.PARALLEL_GRIPPER
        }
        self.parameters = ControllerParameters(node, [each.name for each in contract.controllers])
        self.publishers = {
            each.name: node.create_lifecycle_publisher(JointTrajectory, address(each.topic), qos.TRAJECTORIES)
            for each in contract.controllers
            if each.type is ControllerType.JOINT_TRAJECTORY
        }

    def topics(self) -> dict[str, str]:
        """Full names of the topics on which trajectories go out, per controller."""
        return {name: publisher.topic_name for name, publisher in self.publishers.items()}

    def missing(self) -> dict[str, str]:
        """The controllers that cannot be reached, and where."""
        absent = {name: p.topic_name for name, p in self.publishers.items() if not p.get_subscription_count()}
        absent |= {name: g.address for name, g in self.grippers.items() if not g.connected()}
        return absent

    def trouble(self, now_ns: int) -> str:
        """What keeps the controllers from being commanded at ``now_ns``; empty where nothing does."""
        if absent := self.missing():
            where = ", ".join(f"{name} ({address})" for name, address in absent.items())
            return f"no controller listens any more: {where}"
        troubles = (gripper.trouble(now_ns) for gripper in self.grippers.values())
        return "; ".join(filter(None, troubles))

    def messages(self, plan: Plan) -> dict[str, JointTrajectory]:
        """A plan's messages, per controller that takes trajectories; all share one stamp."""
        return plan_messages(plan, self._contract)

    def checked_messages(self, plan: Plan, now_ns: int) -> dict[str, JointTrajectory]:
        """All messages of a plan, built and checked before the first of them goes out.

        Raises:
            PlanRejected: a controller would reject its message.
        """
        messages = self.messages(plan)
        for name, message in messages.items():
            check_trajectory(message, self._contract.controller(name), now_ns)
        return messages

    def send(self, messages: dict[str, JointTrajectory]) -> None:
        """Publish a plan's messages."""
        for name, message in messages.items():
            self.publishers[name].publish(message)

    def begin(self, plan: Plan) -> None:
        """Leave the grippers where a plan begins until it moves them."""
        for name, gripper in self.grippers.items():
            gripper.begin(float(plan.positions[0, self._columns[name][0]]))

    def follow(self, plan: Plan, now_ns: int) -> None:
        """Have the grippers be where a plan has them at ``now_ns``."""
        if self.grippers:
            limits = self._contract.limits
            inside = np.clip(
                plan.sample_at(now_ns)[0], limits.position_min, limits.position_max
            )  # (A,) rounding
            for name, gripper in self.grippers.items():
                gripper.follow(float(inside[self._columns[name][0]]), now_ns)

    def unacknowledged(self, seconds: float) -> list[str]:
        """The controllers that do not acknowledge what they were sent within so long [s] each."""
        within = Duration(seconds=seconds)
        return [name for name, each in self.publishers.items() if not each.wait_for_all_acked(within)]

    def close(self) -> None:
        """Release everything; the controllers keep what they were told."""
        self.parameters.close()
        for publisher in self.publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        for gripper in self.grippers.values():
            gripper.close()
