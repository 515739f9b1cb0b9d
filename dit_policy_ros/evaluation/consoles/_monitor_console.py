# SPDX-License-Identifier: Apache-2.0
"""Shows in a terminal what policy and recorder publish."""

import os
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live

from dit_policy_ros.evaluation.consoles._monitor_panel import monitor_facts, monitor_lines, monitor_panel
from dit_policy_ros.evaluation.consoles._status_monitor import StatusMonitor
from dit_policy_ros.evaluation.session import Session

REDRAW_PERIOD = 0.2  # [s] of the panel
LINE_PERIOD = 2.0  # [s]
_DIAGNOSTICS_WITHIN = 1.5  # [s] after the first status: they are published once a second


class MonitorConsole:
    """Listens to the nodes of a namespace. Use it as a context manager, which owns rclpy and the node.

    Args:
        console: to print on.
        namespace: of the nodes.
        ros_arguments: command line with ROS arguments, for example remappings.
        policy, recorder: names of the nodes.

    Attributes:
        monitor: what was received.
    """

    def __init__(
        self,
        console: Console,
        namespace: str,
        ros_arguments: Sequence[str] = (),
        policy: str = "policy",
        recorder: str = "recorder",
    ) -> None:
        self._console = console
        rclpy.init(args=list(ros_arguments), signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node(f"dit_policy_monitor_{os.getpid()}", namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._session = Session(self._node, self._executor, children=())
        self.monitor = StatusMonitor(self._node, policy, recorder)

    def __enter__(self) -> "MonitorConsole":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def print_once(self, timeout: float) -> bool:
        """Print after the first status and the diagnostics that follow it.

        Returns False when no status arrives within ``timeout`` [s].
        """
        if not self._listen(timeout):
            return False
        self._console.print(monitor_panel(self.monitor, time.monotonic()))
        return True

    def facts_once(self, timeout: float) -> dict[str, Any] | None:
        """What ``print_once`` shows, as values by name; None when no status arrives in time [s]."""
        return monitor_facts(self.monitor) if self._listen(timeout) else None

    def _listen(self, timeout: float) -> bool:
        if not self._session.spin_until(lambda: self.monitor.has_status, timeout):
            return False
        self._session.spin_until(lambda: bool(self.monitor.diagnostics), _DIAGNOSTICS_WITHIN)
        return True

    def follow(self) -> NoReturn:
        """Show everything until an interrupt: a panel on a terminal, otherwise lines."""
        if not self._console.is_terminal:
            while True:
                self._session.spin_until(lambda: False, LINE_PERIOD)
                for line in monitor_lines(self.monitor, time.monotonic()):
                    self._console.print(line, markup=False, soft_wrap=True)
        with Live(console=self._console, auto_refresh=False, screen=True) as live:
            while True:
                live.update(monitor_panel(self.monitor, time.monotonic()), refresh=True)
                self._session.spin_until(lambda: False, REDRAW_PERIOD)
