# SPDX-License-Identifier: Apache-2.0
"""Draws the recorder's status."""

import math
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dit_policy_ros.evaluation.consoles._recorder_client import RecorderClient
from dit_policy_ros.evaluation.consoles._recorder_keys import KEYS_HELP
from dit_policy_ros.msg import EpisodeReport, RecorderStatus

_LOW_DISK = 10.0  # [min]


def recorder_panel(client: RecorderClient, task: str, prompt: str = "") -> RenderableType:
    """A panel for a terminal. task: instruction of the next episode. prompt: what is asked, or ""."""
    status = client.status
    if status is None or not client.is_alive:
        text = client.message if status is None else "the recorder is silent"
        return Group(Panel(Text(text), title="recorder"), *_below(client, prompt))
    table = Table.grid(padding=(0, 2))
    state = Text(status.state_name.upper(), style="bold red" if status.state_name == "recording" else "bold")
    if status.countdown > 0.0:
        state.append(f"   reset the scene: {status.countdown:.0f} s", style="yellow")
    table.add_row("state", state)
    table.add_row("dataset", status.dataset)
    table.add_row("task", status.task or task or "(none: press t)")
    left = "" if math.isnan(status.remaining) else f", {status.remaining:.0f} s left"
    table.add_row("episode", f"{status.episode_index}: {status.frames} frames, {status.elapsed:.1f} s{left}")
    for camera, rate in zip(status.cameras, status.camera_rates, strict=True):
        style = "red" if camera in status.stale_streams else ""
        table.add_row(f"camera {camera}", Text(f"{rate:.1f} Hz", style=style))
    if status.state == RecorderStatus.RECORDING:
        table.add_row("encoder queue", f"{status.encoder_queue} frames wait")
    minutes = status.disk_minutes_left
    style = "red" if minutes < _LOW_DISK else ""
    table.add_row(
        "disk", Text("not known yet" if math.isnan(minutes) else f"{minutes:.0f} min left", style=style)
    )
    if status.waiting:
        table.add_row("waiting", f"{status.waiting} saved episodes are being added to the dataset")
    for name in status.stale_streams:
        table.add_row("", Text(f"no samples: {name}", style="yellow"))
    for episode in status.interrupted:
        table.add_row("interrupted", Text(f"{episode}: k keeps, x discards it", style="yellow"))
    if status.controller:
        table.add_row("drives", status.controller)
    if status.warning:
        table.add_row("look at", Text(status.warning, style="yellow"))
    if status.problem:
        table.add_row("problem", Text(status.problem, style="bold red"))
    return Group(Panel(table, title="recorder", subtitle=KEYS_HELP), *_below(client, prompt))


def _below(client: RecorderClient, prompt: str) -> Iterator[RenderableType]:
    """What was answered, the verdict on the last episode, and what is asked."""
    if client.message:
        yield Text(client.message, style="bold red" if client.is_refused else "")
    if client.report is not None:
        yield from _verdict(client.report)
    if prompt:
        yield Text(prompt, style="bold black on yellow")


def _verdict(report: EpisodeReport) -> Iterator[Text]:
    label = "success" if report.success_label else "failure"
    word, style = ("PASSED", "bold white on green") if report.passed else ("FAILED", "bold white on red")
    yield Text(f" Episode {report.episode_index} {word} the check, labelled {label} ", style=style)
    for reason in report.reasons:
        yield Text(f"  {reason}", style="bold red")
    for warning in report.warnings:
        yield Text(f"! {warning}", style="yellow")
