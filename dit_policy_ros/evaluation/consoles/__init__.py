# SPDX-License-Identifier: Apache-2.0
"""Terminal views of running nodes: the monitor, and the recorder's console."""

from dit_policy_ros.evaluation.consoles._grid import figures_grid
from dit_policy_ros.evaluation.consoles._monitor_console import MonitorConsole
from dit_policy_ros.evaluation.consoles._monitor_panel import familiarity_words, monitor_lines, monitor_panel
from dit_policy_ros.evaluation.consoles._record_console import run_record_console
from dit_policy_ros.evaluation.consoles._service_calls import Answer, OnAnswer, ServiceCalls
from dit_policy_ros.evaluation.consoles._status_monitor import StatusMonitor

__all__ = [
    "Answer",
    "MonitorConsole",
    "OnAnswer",
    "ServiceCalls",
    "StatusMonitor",
    "familiarity_words",
    "figures_grid",
    "monitor_lines",
    "monitor_panel",
    "run_record_console",
]
