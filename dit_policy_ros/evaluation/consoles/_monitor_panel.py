# SPDX-License-Identifier: Apache-2.0
"""Draws what the status monitor has collected: a panel for a terminal, lines for a log."""

import math
import time
from collections.abc import Iterator
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from dit_policy_ros.evaluation.consoles._grid import figures_grid
from dit_policy_ros.evaluation.consoles._status_monitor import StatusMonitor
from dit_policy_ros.msg import PolicyStatus, RecorderStatus

SILENT_AFTER = 2.0  # [s] without a status, a node is shown as silent
_SHOWN_HOLDS = 3
_LEVELS = {
    DiagnosticStatus.OK: ("ok", "green"),
    DiagnosticStatus.WARN: ("WARN", "yellow"),
    DiagnosticStatus.ERROR: ("ERROR", "bold red"),
    DiagnosticStatus.STALE: ("STALE", "magenta"),
}
_STATES = {
    PolicyStatus.UNCONFIGURED: "dim",
    PolicyStatus.INACTIVE: "cyan",
    PolicyStatus.WAITING: "yellow",
    PolicyStatus.RUNNING: "bold green",
    PolicyStatus.HOLD: "bold white on red",
    PolicyStatus.INTERVENTION: "bold white on blue",
    PolicyStatus.HOMING: "bold blue",
}


def monitor_panel(monitor: StatusMonitor, now: float) -> RenderableType:
    """Everything, for a terminal: faults with their remedies first, so that a small one shows them whole.

    now: ``time.monotonic()`` [s].
    """
    if not monitor.has_status and not monitor.diagnostics:
        return Panel(Text(monitor.no_status_message()), title="dit_policy monitor")
    parts: list[RenderableType] = []
    if monitor.policy is not None:
        when, status = monitor.policy
        parts.append(_headline(status, monitor.policy_node, _age(now - when)))
    if monitor.recorder is not None:
        parts += _recorder_faults(monitor.recorder[1])
    parts += _findings(monitor, now, faults=True)
    parts += _holds(monitor)
    if monitor.policy is not None:
        parts += [Rule("policy", style="dim"), figures_grid(policy_figures(monitor.policy[1]))]
    if monitor.recorder is not None:
        when, recorder = monitor.recorder
        parts += [Rule(f"recorder {_age(now - when)}", style="dim"), figures_grid(recorder_figures(recorder))]
    parts += _findings(monitor, now, faults=False)
    return Group(*parts)


def monitor_lines(monitor: StatusMonitor, now: float) -> Iterator[str]:
    """The most important figures, for a log. now: ``time.monotonic()`` [s]."""
    if not monitor.has_status:
        yield monitor.no_status_message()
    if monitor.policy is not None:
        when, status = monitor.policy
        silent = f" ({_age(now - when)})" if now - when > SILENT_AFTER else ""
        figures = ", ".join(f"{name} {value}" for name, value in policy_figures(status).items())
        reason = f": {status.hold_reason}" if status.hold_reason else ""
        yield f"policy {status.state_name}{reason}{silent}; {figures}"
    if monitor.recorder is not None:
        figures = recorder_figures(monitor.recorder[1])
        yield "recorder " + ", ".join(f"{name} {value}" for name, value in figures.items())
    for _, status in monitor.diagnostics.values():
        if status.level != DiagnosticStatus.OK:
            yield f"{_LEVELS[status.level][0]} {status.name}: {status.message}"


def monitor_facts(monitor: StatusMonitor) -> dict[str, Any]:
    """The newest messages as values by their fields' names; None for a node that is not there."""
    return {
        "policy": None if monitor.policy is None else _fields(monitor.policy[1]),
        "recorder": None if monitor.recorder is None else _fields(monitor.recorder[1]),
        "findings": [
            {"level": _LEVELS[status.level][0], "name": status.name, "message": status.message}
            for _, status in monitor.diagnostics.values()
        ],
    }


def _fields(message: Any) -> dict[str, Any]:
    names = message.get_fields_and_field_types()
    return {name: _value(getattr(message, name)) for name in names if name != "stamp"}


def _value(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | float) else list(value)


def familiarity_words(status: PolicyStatus) -> str:
    """How familiar the task is to the policy, in words; empty if that is not known, or there is no task."""
    if not status.task or math.isnan(status.task_familiarity):
        return ""
    return f"similarity to the training {status.task_familiarity:.2f}"


def policy_figures(status: PolicyStatus) -> dict[str, str]:
    """The policy's status as text, by label."""
    unknown = "" if status.known_task else " (unknown to the checkpoint)"
    familiar = f", {words}" if (words := familiarity_words(status)) else ""
    shown = {"task": (status.task or "(none)") + unknown + familiar}
    if status.state >= PolicyStatus.WAITING:  # active
        inference = _spread(status.inference_latency_p50, status.inference_latency_p95)
        pipeline = _spread(status.pipeline_latency_p50, status.pipeline_latency_p95)
        changed = (
            f"{status.limited_knots} knots limited ({status.clamped_knots} off the path), "
            f"{status.disagreements} disagreements"
        )
        shown |= {
            "inference": f"{inference} on {status.device}",
            "image to trajectory": f"{pipeline} (without inference)",
            "chunks": f"{status.chunk_rate:.1f} Hz, newest {_ms(status.chunk_age)} old, "
            f"{status.live_chunks} averaged, {status.expired_chunks} expired",
            "control": f"{status.control_rate:.1f} Hz, interval p99 {_ms(status.control_interval_p99)}, "
            f"{status.missed_ticks} ticks missed",
            "plans": f"{status.plans} sent, {changed}, {status.holds} holds",
        }
        if status.idle >= 1.0:
            shown["idle"] = f"nothing commanded to move for {status.idle:.0f} s"
    if status.dry_run:
        shown["shadow error"] = (
            "?" if math.isnan(status.shadow_error) else f"{status.shadow_error:.4f} rad RMS"
        )
    if status.last_incident:
        shown["incident"] = f"{status.last_incident} ({status.incidents} so far)"
    return shown


def recorder_figures(status: RecorderStatus) -> dict[str, str]:
    """The recorder's status as text, by label."""
    left = status.disk_minutes_left
    shown = {
        "state": status.state_name,
        "dataset": status.dataset or "(none)",
        "episode": f"{status.episode_index}, {status.frames} frames, {status.elapsed:.1f} s",
        "rate": f"{status.fps:.1f} Hz",
        "disk": "?" if math.isnan(left) else f"{left:.0f} min left",
    }
    if status.task:
        shown["task"] = status.task
    if status.stale_streams:
        shown["stale"] = ", ".join(status.stale_streams)
    return shown


def _headline(status: PolicyStatus, node: str, age: str) -> Text:
    text = Text(f" {status.state_name.upper()} ", style=_STATES[status.state])
    text.append(f" {age} ", style="dim" if age == "live" else "bold white on red")
    if status.dry_run:
        text.append(" shadow mode: nothing moves ", style="black on yellow")
    if status.e_stop:
        text.append(" E-STOP latched ", style="bold white on red")
    if status.state == PolicyStatus.HOLD:
        text.append(f"\n{status.hold_reason}", style="bold")
    if status.intervention:
        text.append(f"\n{status.intervention}", style="bold")
    if remedy := _remedy(status, node):
        text.append(f"\n-> {remedy}", style="bold yellow")
    return text


def _remedy(status: PolicyStatus, node: str) -> str:
    """What the operator does about a HOLD or an e-stop; "" without one."""
    resume = f"ros2 service call {node}/resume std_srvs/srv/Trigger"
    if status.e_stop:
        clear = f"ros2 service call {node}/e_stop std_srvs/srv/SetBool '{{data: false}}'"
        return f"make the cell safe, then: {clear}; {resume}"
    if status.state != PolicyStatus.HOLD:
        return ""
    if status.hold_recoverable:
        return "resumes by itself when the cause is gone"
    return f"needs {node}/resume when the cause is gone: {resume}"


def _recorder_faults(status: RecorderStatus) -> list[Text]:
    lines = [Text(f"recorder: {status.problem}", style="bold red")] if status.problem else []
    if status.stale_streams:
        lines.append(Text(f"recorder: no samples: {', '.join(status.stale_streams)}", style="yellow"))
    lines += [Text(f"recorder: interrupted, call ~/recover: {each}") for each in status.interrupted]
    return lines


def _holds(monitor: StatusMonitor) -> list[Text]:
    """The last holds that are over, newest first."""
    over = [hold for hold in monitor.holds if hold.seconds is not None]
    lines = []
    for hold in list(reversed(over))[:_SHOWN_HOLDS]:
        when = time.strftime("%H:%M:%S", time.localtime(hold.began))
        lines.append(Text(f"held {when} for {hold.seconds:.1f} s: {hold.reason}", style="dim"))
    return lines


def _findings(monitor: StatusMonitor, now: float, faults: bool) -> list[Text]:
    """The entries of /diagnostics, worst first, each wrapped and whole. faults: these, or the others."""
    lines = []
    entries = sorted(monitor.diagnostics.values(), key=lambda entry: entry[1].level, reverse=True)
    for when, status in entries:
        silent = f" ({_age(now - when)})" if now - when > 2.0 * SILENT_AFTER else ""
        if (status.level != DiagnosticStatus.OK) != faults:
            continue
        word, style = _LEVELS[status.level]
        line = Text(f"{word} ", style=style)
        line.append(f"{status.name}: ", style="bold").append(status.message + silent, style="")
        lines.append(line)
    return lines


def _age(seconds: float) -> str:
    return f"SILENT for {seconds:.0f} s" if seconds > SILENT_AFTER else "live"


def _spread(p50: float, p95: float) -> str:
    return f"{_ms(p50)}, p95 {_ms(p95)}"


def _ms(seconds: float) -> str:
    return "?" if math.isnan(seconds) else f"{seconds * 1e3:.0f} ms"
