# SPDX-License-Identifier: Apache-2.0
"""Finds the controllers of a running robot, and what they say about themselves.

The controller manager knows best. Where it does not run, or its messages (controller_manager_msgs) are not
installed, controllers are recognised by their topics and actions, and their own parameters name the joints.
Where those cannot be read, the state that a controller publishes does, or the interfaces that it claims.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node

from dit_policy_ros.core.contract import Controller, ControllerType
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.controllers import ControllerParameters, controller_state_type
from dit_policy_ros.ros.survey._survey import wait_until

_TRAJECTORY = "/joint_trajectory"
_STATE = "/controller_state"
_GRIPPER = "/gripper_cmd/_action/send_goal"
_MANAGER = "/list_controllers"
_ANSWER_WITHIN = 3.0  # [s]
_COMMANDED = ("position", "velocity", "acceleration", "effort")  # interfaces of a joint that is moved
_TYPES = {
    "joint_trajectory_controller/JointTrajectoryController": ControllerType.JOINT_TRAJECTORY,
    "parallel_gripper_action_controller/GripperActionController": ControllerType.PARALLEL_GRIPPER,
}


@dataclass(frozen=True, slots=True)
class FoundController:
    """A controller that can be commanded.

    Attributes:
        node: its full name.
        type: None if plans and goals of ours do not fit it.
        joints: as it names them; empty if it does not say.
        state: as the controller manager says; empty if unknown.
    """

    node: str
    type: ControllerType | None
    joints: tuple[str, ...]
    state: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a controller manager says about a controller.

    Attributes:
        type: None if it is of no type that we command.
        state: as it says.
        joints: whose interfaces it claims, or would claim if it were active.
    """

    type: ControllerType | None
    state: str
    joints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundControllers:
    """All of them, and where they come from.

    Attributes:
        controllers: by full name.
        notes: what could not be asked, for people.
    """

    controllers: Mapping[str, FoundController] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_controllers(node: Node) -> FoundControllers:
    """Look now. The node must be spinning, and must have had time to discover others."""
    managed, notes = _managed(node)
    kinds = dict.fromkeys(_by_topic(node), ControllerType.JOINT_TRAJECTORY)
    kinds |= dict.fromkeys(_by_action(node), ControllerType.PARALLEL_GRIPPER)
    kinds |= {name: each.type for name, each in managed.items() if each.type is not None}
    client = ControllerParameters(
        node, [Controller(name, kind, (), node=name) for name, kind in kinds.items()]
    )
    try:
        wait_until(lambda: False, 0.2)  # the clients find their services
        parameters = client.read(_ANSWER_WITHIN)
    finally:
        client.close()
    joints = {name: _joints(parameters.get(name, {})) for name in kinds}
    joints |= _by_state(node, [name for name, owned in joints.items() if not owned])
    joints |= {name: managed[name].joints for name, owned in joints.items() if not owned and name in managed}
    if silent := [name for name, owned in joints.items() if not owned]:
        notes.append(
            f"{', '.join(silent)}: neither parameters, a controller_state nor the controller manager say "
            "which joints they have. Write these into the controller's joints, into joints and into limits"
        )
    found = {
        name: FoundController(name, kind, joints[name], managed[name].state if name in managed else "")
        for name, kind in sorted(kinds.items())
    }
    return FoundControllers(found, tuple(notes))


def _joints(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    if isinstance(joint := parameters.get("joint"), str):  # of a gripper
        return (joint,)
    return tuple(parameters.get("joints") or ())


def _by_state(node: Node, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The joints of those controllers that publish their state, by controller."""
    publishing = [name for name in names if node.count_publishers(f"{name}{_STATE}")]
    state_type = controller_state_type(node) if publishing else None
    if state_type is None:
        return {}
    found: dict[str, tuple[str, ...]] = {}

    def listen(name: str) -> Any:
        def receive(message: Any) -> None:
            found[name] = tuple(message.joint_names)

        return node.create_subscription(state_type, f"{name}{_STATE}", receive, qos.LATEST_STATE)

    subscriptions = [listen(name) for name in publishing]
    try:
        wait_until(lambda: len(found) == len(publishing), _ANSWER_WITHIN)
    finally:
        for subscription in subscriptions:
            node.destroy_subscription(subscription)
    return found


def _by_topic(node: Node) -> list[str]:
    """Nodes that listen to their own topic joint_trajectory, as joint_trajectory_controllers do."""
    names = [name for name, _ in node.get_topic_names_and_types() if name.endswith(_TRAJECTORY)]
    return [name.removesuffix(_TRAJECTORY) for name in names if node.count_subscribers(name)]


def _by_action(node: Node) -> list[str]:
    names = [name for name, _ in node.get_service_names_and_types() if name.endswith(_GRIPPER)]
    return [name.removesuffix(_GRIPPER) for name in names]


def listed(answer: Any, namespace: str = "") -> dict[str, Listed]:
    """The controllers in a controller manager's answer, by full name.

    Args:
        answer: a controller_manager_msgs/srv/ListControllers.Response.
        namespace: of the manager, with its slash; its controllers are in it.
    """
    return {
        f"{namespace}/{each.name}": Listed(
            _TYPES.get(each.type),
            each.state,
            _claimed_joints(each.claimed_interfaces or each.required_command_interfaces),
        )
        for each in answer.controller
    }


def _claimed_joints(interfaces: Iterable[str]) -> tuple[str, ...]:
    """The joints in names of interfaces such as `left_gripper/position`, in their order."""
    split = [each.split("/") for each in interfaces]
    found = [parts[-2] for parts in split if len(parts) > 1 and parts[-1] in _COMMANDED]
    return tuple(dict.fromkeys(found))


def _managed(node: Node) -> tuple[dict[str, Listed], list[str]]:
    """The controllers as the controller managers list them, by full name, and what could not be asked."""
    managers = [name for name, _ in node.get_service_names_and_types() if name.endswith(_MANAGER)]
    if not managers:
        return {}, ["no controller manager runs: controllers are recognised by their topics and actions"]
    try:
        from controller_manager_msgs.srv import (  # pyright: ignore[reportMissingImports] - optional
            ListControllers,
        )
    except ImportError:
        return {}, [
            "controller_manager_msgs is not installed, so the controller manager cannot be asked which "
            "controllers are active (sudo apt install ros-$ROS_DISTRO-controller-manager-msgs): they are "
            "recognised by their topics and actions"
        ]
    found: dict[str, Listed] = {}
    notes = []
    for manager in managers:
        client = node.create_client(ListControllers, manager)
        try:
            future: Any = (
                client.call_async(ListControllers.Request()) if client.wait_for_service(1.0) else None
            )
            if future is None or not wait_until(future.done, _ANSWER_WITHIN):
                notes.append(f"{manager} does not answer")
                continue
            # A controller is in its manager's namespace: /left/controller_manager has /left/arm.
            namespace = manager.removesuffix(_MANAGER).rpartition("/")[0]
            found |= listed(future.result(), namespace)
        finally:
            node.destroy_client(client)
    return found, notes
