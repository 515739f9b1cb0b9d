# SPDX-License-Identifier: Apache-2.0
"""Draws what the status monitor has collected: a panel for a terminal, lines for a log."""

import math
from collections.abc import Iterator

from diagnostic_msgs.msg import DiagnosticStatus
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dit_policy_ros.evaluation.consoles._grid import figures_grid
from dit_policy_ros.evaluation.consoles._status_monitor import StatusMonitor
from dit_policy_ros.msg import PolicyStatus, RecorderStatus

SILENT_AFTER = 2.0  # [s] without a status, a node is shown as silent
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
}


def monitor_panel(monitor: StatusMonitor, now: float) -> RenderableType:
    """Everything, for a terminal. now: ``time.monotonic()`` [s]."""
    parts: list[RenderableType] = []
    if monitor.policy is not None:
        when, status = monitor.policy
        body = Group(_headline(status, monitor.policy_node), figures_grid(policy_figures(status)))
        parts.append(
            Panel(body, title="policy", subtitle=_age(now - when), border_style=_STATES[status.state])
        )
    if monitor.recorder is not None:
        when, recorder = monitor.recorder
        parts.append(
            Panel(figures_grid(recorder_figures(recorder)), title="recorder", subtitle=_age(now - when))
        )
    if monitor.diagnostics:
        parts.append(_findings(monitor, now))
    return Group(*parts) if parts else Panel(Text(monitor.no_status_message()), title="dit_policy monitor")


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


def policy_figures(status: PolicyStatus) -> dict[str, str]:
    """The policy's status as text, by label."""
    shown = {
        "task": (status.task or "(none)") + ("" if status.known_task else " (unknown to the checkpoint)")
    }
    if status.state in (PolicyStatus.WAITING, PolicyStatus.RUNNING, PolicyStatus.HOLD):
        inference = _spread(status.inference_latency_p50, status.inference_latency_p95)
        pipeline = _spread(status.pipeline_latency_p50, status.pipeline_latency_p95)
        changed = f"{status.limited_knots} knots limited, {status.disagreements} disagreements"
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


def _headline(status: PolicyStatus, node: str) -> Text:
    text = Text(f" {status.state_name.upper()} ", style=_STATES[status.state])
    if status.dry_run:
        text.append(" shadow mode: nothing moves ", style="black on yellow")
    if status.e_stop:
        text.append(" E-STOP latched ", style="bold white on red")
    if status.state == PolicyStatus.HOLD:
        recovery = (
            "resumes by itself" if status.hold_recoverable and not status.e_stop else f"needs {node}/resume"
        )
        text.append(f" {status.hold_reason} ({recovery})", style="bold")
    return text


def _findings(monitor: StatusMonitor, now: float) -> Table:
    table = Table(title="diagnostics", expand=True, title_justify="left")
    table.add_column("", width=5)
    table.add_column("part", no_wrap=True)
    table.add_column("finding", ratio=1)
    worst_first = sorted(monitor.diagnostics.values(), key=lambda entry: entry[1].level, reverse=True)
    for when, status in worst_first:
        word, style = _LEVELS[status.level]
        silent = f" ({_age(now - when)})" if now - when > 2.0 * SILENT_AFTER else ""
        table.add_row(Text(word, style=style), Text(status.name), Text(status.message + silent))
    return table


def _age(seconds: float) -> str:
    return f"SILENT for {seconds:.0f} s" if seconds > SILENT_AFTER else "live"


def _spread(p50: float, p95: float) -> str:
    return f"{_ms(p50)}, p95 {_ms(p95)}"


def _ms(seconds: float) -> str:
    return "?" if math.isnan(seconds) else f"{seconds * 1e3:.0f} ms"
