# SPDX-License-Identifier: Apache-2.0
"""The services and buttons by which a person takes over, hands back and sends the arms home."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from std_srvs.srv import Trigger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.ros.common import Resources
from dit_policy_ros.ros.teleoperation._buttons import Buttons
from dit_policy_ros.ros.teleoperation._leader import Leader
from dit_policy_ros.srv import TakeOver

_INACTIVE = "the policy node is not active"


class TakeoverTarget(Protocol):
    """Whose arms are taken over. Each call returns why it is refused; empty if it is not."""

    def take_over(self, controllers: Sequence[str] = ()) -> str:
        """Let a person drive the joints of controllers, all of the leader's if none is named."""
        ...

    def hand_back(self) -> str:
        """Let the policy drive all joints again."""
        ...

    def home(self) -> str:
        """Move slowly to the rest pose."""
        ...

    @property
    def led_joints(self) -> list[str]:
        """The joints that a person drives."""
        ...

    @property
    def led_text(self) -> str:
        """What the person should know or do now; empty while the policy drives."""
        ...


class TakeoverServices:
    """Serves ~/take_over, ~/hand_back and ~/home.

    Args:
        node: owns the services.
        group: their callback group.
        target: returns whose arms are taken over; None while the node is not active.
    """

    def __init__(self, node: Node, group: CallbackGroup, target: Callable[[], TakeoverTarget | None]) -> None:
        self._node, self._group, self._target = node, group, target
        self._toggles = False  # whether one button does both
        node.create_service(TakeOver, "~/take_over", self._on_take_over, callback_group=group)
        node.create_service(Trigger, "~/hand_back", self._on_hand_back, callback_group=group)
        node.create_service(Trigger, "~/home", self._on_home, callback_group=group)

    def open(self, contract: Contract, settings: Mapping[str, Any], resources: Resources) -> Leader | None:
        """Listen to buttons and leader, as the parameters say, until the resources are closed.

        Returns:
            The leader; None without one.

        Raises:
            ParameterError: see Leader.
        """
        if settings["joy.topic"]:
            resources.callback(self._listen(settings).close)
        if settings["takeover.source"] == "none":
            return None
        leader = Leader(self._node, contract, settings)
        resources.callback(leader.close)
        return leader

    def _listen(self, settings: Mapping[str, Any]) -> Buttons:
        numbers = {action: settings[f"joy.{action}"] for action in ("take_over", "hand_back")}
        self._toggles = numbers["hand_back"] < 0 or numbers["hand_back"] == numbers["take_over"]
        if self._toggles:
            numbers["hand_back"] = -1
        return Buttons(self._node, settings["joy.topic"], numbers, self._on_press, self._group)

    def _on_press(self, action: str) -> None:
        target = self._target()
        gives = action == "hand_back" or (self._toggles and target is not None and bool(target.led_joints))
        is_done, message = self._hand_back() if gives else self._take_over(())
        if is_done:  # rclpy refuses two severities in one line
            self._node.get_logger().info(message)
        else:
            self._node.get_logger().error(message)

    def _on_take_over(self, request: TakeOver.Request, response: TakeOver.Response) -> TakeOver.Response:
        response.success, response.message = self._take_over([name for name in request.controllers if name])
        if response.success and (target := self._target()) is not None:
            response.joints = target.led_joints
        return response

    def _on_hand_back(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._hand_back()
        return response

    def _on_home(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        target = self._target()
        refusal = _INACTIVE if target is None else target.home()
        response.success = not refusal
        response.message = f"cannot go home: {refusal}" if target is None or refusal else target.led_text
        return response

    def _take_over(self, controllers: Sequence[str]) -> tuple[bool, str]:
        target = self._target()
        if refusal := _INACTIVE if target is None else target.take_over(controllers):
            return False, f"cannot take over: {refusal}"
        return True, "" if target is None else target.led_text

    def _hand_back(self) -> tuple[bool, str]:
        target = self._target()
        if refusal := _INACTIVE if target is None else target.hand_back():
            return False, f"cannot hand back: {refusal}"
        return True, "the policy drives again"
