# SPDX-License-Identifier: Apache-2.0
"""What the simulator's referee reports on /sim/referee."""

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from dit_policy_ros.ros.common import qos


class RefereeMonitor:
    """Subscribes to the referee and keeps its newest report.

    Args:
        node: gets the subscription.
        on_report: called after each report.

    Attributes:
        values: the newest report's values by key, for example "lift the red cube with the left arm/done".
            Empty before the first report.
    """

    def __init__(self, node: Node, on_report: Callable[[], None] = lambda: None) -> None:
        self.values: dict[str, str] = {}
        self._on_report = on_report
        node.create_subscription(DiagnosticStatus, "/sim/referee", self._on_message, qos.STATUS)

    def clear(self) -> None:
        """Drop the last report: a new scene begins."""
        self.values = {}

    def is_in_scene(self, seed: int) -> bool:
        """Whether the newest report is about the scene of this seed."""
        return self.values.get("scene", "").startswith(f"{seed}/")

    @property
    def scene_time(self) -> float:
        """Age of the scene at the newest report [s of simulated time]; NaN before the first report."""
        return float(self.values.get("scene_time", "nan"))

    def is_done(self, instruction: str) -> bool:
        """Whether a task has been done in this scene."""
        return self.values[f"{instruction}/done"] != "no"

    def done_tasks(self) -> dict[str, float]:
        """When each task was first done, by instruction [s of the scene]; only tasks that were done."""
        return {
            key.removesuffix("/done"): float(value)
            for key, value in self.values.items()
            if key.endswith("/done") and value != "no"
        }

    def _on_message(self, message: DiagnosticStatus) -> None:
        self.values = {pair.key: pair.value for pair in message.values}
        self._on_report()
