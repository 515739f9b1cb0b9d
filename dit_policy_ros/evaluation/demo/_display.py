# SPDX-License-Identifier: Apache-2.0
"""Live progress of the demo: a panel that is redrawn on a terminal, plain lines elsewhere."""

import math
import time

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dit_policy_ros.evaluation.demo._view import DemoView, Trial
from dit_policy_ros.msg import PolicyStatus

REDRAWN_EVERY = 0.2  # [s]
LINE_EVERY = 2.0  # [s]


def distance_text(trial: Trial) -> str:
    """How far it is to the goal, where that is known."""
    return "" if math.isnan(trial.distance) else f"{trial.distance * 1e3:.0f} mm to go, "


def figures(view: DemoView) -> dict[str, str]:
    """What is shown, by label; empty before the first status."""
    status, trial = view.status, view.trial
    if status is None:
        return {}
    shown = {"state": status.state_name + (f": {status.hold_reason}" if status.hold_reason else "")}
    if trial is not None:
        outcome = f"done after {trial.time_to_success:.1f} s" if trial.time_to_success is not None else ""
        outcome = outcome or f"{distance_text(trial)}{trial.seconds:.1f} s"
        shown["task"] = f"{trial.instruction} ({outcome})"
    if status.state in (PolicyStatus.RUNNING, PolicyStatus.HOLD):
        shown["inference"] = (
            f"{status.inference_latency_p50 * 1e3:.0f} ms (p95 {status.inference_latency_p95 * 1e3:.0f} ms)"
        )
        shown["control rate"] = f"{status.control_rate:.1f} Hz"
        shown["plans"] = f"{status.plans} sent, {status.live_chunks} chunks averaged"
    return shown


class Display:
    """Use as a context manager around the run; `phase` names what is happening, `refresh` is called often."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = (
            Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        )
        self._phase = ""
        self._shown_at = -math.inf
        self._began = time.monotonic()

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def phase(self, text: str) -> None:
        """Announces a new phase."""
        self._phase = text
        self._line(text)

    def refresh(self, view: DemoView) -> None:
        """Shows the newest figures, not more often than is useful."""
        now = time.monotonic()
        if now - self._shown_at < (REDRAWN_EVERY if self._live else LINE_EVERY):
            return
        self._shown_at = now
        shown = figures(view)
        if self._live:
            grid = Table.grid(padding=(0, 2))
            for label, text in shown.items():
                grid.add_row(Text(label, style="bold"), Text(text))  # Text: brackets in it are no markup
            elapsed = f"{now - self._began:.0f} s"
            self._live.update(Panel(grid, title=Text(self._phase), subtitle=elapsed, width=78), refresh=True)
        elif shown:
            line = ", ".join(f"{label} {text}" for label, text in shown.items())
            self._line(line)

    def _line(self, text: str) -> None:
        elapsed = time.monotonic() - self._began
        self._console.print(f"{elapsed:5.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)
