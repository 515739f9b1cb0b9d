# SPDX-License-Identifier: Apache-2.0
"""Publishers and action clients for all controllers of the contract."""

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
    """Sends plans to the controllers.

    A joint_trajectory_controller gets one message per plan. A parallel_gripper_controller gets goals while
    the plan is executed.
    """

    def __init__(
        self,
        node: LifecycleNode,
        contract: Contract,
        on_rejected: Callable[[str], None],
        topic_name: Callable[[str], str] = str,
    ) -> None:
        """Create publishers and clients.

        Args:
            node: owns the publishers and clients.
            contract: names the controllers, their types and their joints.
            on_rejected: called with the reason when a gripper's controller rejects a goal.
            topic_name: maps a controller's topic to the topic to publish on. Shadow mode uses another one.

        Raises:
            ContractError: a controller type needs a package that is not installed.
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
            each.name: node.create_lifecycle_publisher(
                JointTrajectory, topic_name(each.topic), qos.TRAJECTORIES
            )
            for each in contract.controllers
            if each.type is ControllerType.JOINT_TRAJECTORY
        }

    def topics(self) -> dict[str, str]:
        """Full names of the trajectory topics, by controller."""
        return {name: publisher.topic_name for name, publisher in self.publishers.items()}

    def unreachable(self) -> dict[str, str]:
        """Controllers that do not listen: the full name of their topic or action, by controller."""
        absent = {name: p.topic_name for name, p in self.publishers.items() if not p.get_subscription_count()}
        absent |= {name: g.action_name for name, g in self.grippers.items() if not g.is_connected()}
        return absent

    def fault(self, now_ns: int) -> str:
        """Why the controllers cannot be commanded at ``now_ns``; empty if they can."""
        if absent := self.unreachable():
            where = ", ".join(f"{name} no longer listens on {address}" for name, address in absent.items())
            return f"controller lost: {where}; check that it is active (ros2 control list_controllers)"
        faults = (gripper.fault(now_ns) for gripper in self.grippers.values())
        return "; ".join(filter(None, faults))

    def messages(self, plan: Plan) -> dict[str, JointTrajectory]:
        """A plan's messages, by joint_trajectory_controller; all have the same stamp."""
        return plan_messages(plan, self._contract)

    def checked_messages(self, plan: Plan, now_ns: int) -> dict[str, JointTrajectory]:
        """Build and check all messages of a plan. Nothing is published yet.

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

    def start_grippers(self, plan: Plan) -> None:
        """Take the plan's first position as each gripper's present goal; send nothing yet."""
        for name, gripper in self.grippers.items():
            gripper.start(float(plan.positions[0, self._columns[name][0]]))

    def command_grippers(self, plan: Plan, now_ns: int) -> None:
        """Send each gripper the plan's position at ``now_ns``, if it has changed enough."""
        if self.grippers:
            limits = self._contract.limits
            inside = np.clip(
                plan.sample_at(now_ns)[0], limits.position_min, limits.position_max
            )  # (A,) rounding
            for name, gripper in self.grippers.items():
                gripper.command(float(inside[self._columns[name][0]]), now_ns)

    def unacknowledged(self, timeout: float) -> list[str]:
        """Controllers that do not acknowledge the last message within ``timeout`` [s] each."""
        within = Duration(seconds=timeout)
        return [name for name, each in self.publishers.items() if not each.wait_for_all_acked(within)]

    def close(self) -> None:
        """Destroy publishers and clients. The controllers keep their last command."""
        self.parameters.close()
        for publisher in self.publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        for gripper in self.grippers.values():
            gripper.close()
