# SPDX-License-Identifier: Apache-2.0
"""Collects the newest status and diagnostics of policy and recorder."""

import os
import time
from collections import deque
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from dit_policy_ros.msg import PolicyStatus, RecorderStatus
from dit_policy_ros.ros.common import qos


@dataclass(slots=True)
class Hold:
    """A HOLD of the policy. began: ``time.time()`` [s]. seconds: how long; None while it lasts."""

    began: float
    reason: str
    seconds: float | None = None


class StatusMonitor:
    """Subscribes in the node's namespace and keeps the newest message of each kind.

    Attributes:
        policy: time of arrival (``time.monotonic()``) and status; None before the first.
        recorder: the same of the recorder.
        diagnostics: the same of each entry in /diagnostics of these two nodes, by its name.
        holds: each HOLD that was seen, newest last.
    """

    def __init__(self, node: Node, policy: str = "policy", recorder: str = "recorder") -> None:
        """Subscribe. policy, recorder: names of the two nodes."""
        self.policy: tuple[float, PolicyStatus] | None = None
        self.recorder: tuple[float, RecorderStatus] | None = None
        self.diagnostics: dict[str, tuple[float, DiagnosticStatus]] = {}
        self.holds: deque[Hold] = deque(maxlen=50)
        self._namespace = node.get_namespace().strip("/")
        self._full_names = tuple(f"{self._namespace}/{name}".strip("/") for name in (policy, recorder))
        node.create_subscription(PolicyStatus, f"{policy}/status", self._on_policy, qos.STATUS)
        node.create_subscription(RecorderStatus, f"{recorder}/status", self._on_recorder, qos.STATUS)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.DIAGNOSTICS)

    @property
    def policy_node(self) -> str:
        """Full name of the policy node."""
        return f"/{self._full_names[0]}"

    @property
    def has_status(self) -> bool:
        """Whether either node has published a status."""
        return self.policy is not None or self.recorder is not None

    def no_status_message(self) -> str:
        """Says what to check when there is no status."""
        domain = os.environ.get("ROS_DOMAIN_ID", "0 (not set)")
        topics = " or ".join(f"/{name}/status" for name in self._full_names)
        return (
            f"nothing on {topics}. Is a node running, under this name (--policy, --recorder), in this "
            f"namespace (--namespace) and ROS domain (ROS_DOMAIN_ID is {domain})?"
        )

    def _on_policy(self, message: PolicyStatus) -> None:
        self._note_hold(message)
        self.policy = time.monotonic(), message

    def _note_hold(self, message: PolicyStatus) -> None:
        """Keep what a HOLD was about: one that ends by itself would leave no trace."""
        last = self.holds[-1] if self.holds else None
        is_open = last is not None and last.seconds is None
        is_held = message.state == PolicyStatus.HOLD
        if last is not None and is_open and not is_held:
            last.seconds = time.time() - last.began
        elif is_held and (last is None or not is_open):
            self.holds.append(Hold(time.time(), message.hold_reason))
        elif last is not None and is_open:
            last.reason = message.hold_reason

    def _on_recorder(self, message: RecorderStatus) -> None:
        self.recorder = time.monotonic(), message

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        prefixes = tuple(f"{name}:" for name in self._full_names)
        for status in message.status:
            if status.name.startswith(prefixes):
                self.diagnostics[status.name] = time.monotonic(), status
