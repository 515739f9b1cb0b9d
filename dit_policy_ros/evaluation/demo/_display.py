# SPDX-License-Identifier: Apache-2.0
"""Live progress of the demo: a panel on a terminal, otherwise a line now and then."""

import math
import time

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from dit_policy_ros.evaluation.consoles import figures_grid
from dit_policy_ros.evaluation.demo._monitor import DemoMonitor, Trial
from dit_policy_ros.msg import PolicyStatus

REDRAW_PERIOD = 0.2  # [s] of the panel
LINE_PERIOD = 2.0  # [s]
_WIDTH = 78  # [characters]


def distance_text(trial: Trial) -> str:
    """The distance to the goal; empty if it is not known."""
    return "" if math.isnan(trial.distance) else f"{trial.distance * 1e3:.0f} mm to go, "


def demo_figures(monitor: DemoMonitor) -> dict[str, str]:
    """What the display shows, by label; empty before the first status."""
    status, trial = monitor.status, monitor.trial
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


class DemoDisplay:
    """Shows the demo's progress. Use it as a context manager around the run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = (
            Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        )
        self._phase = ""
        self._shown_at = -math.inf
        self._began = time.monotonic()

    def __enter__(self) -> "DemoDisplay":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def begin_phase(self, text: str) -> None:
        """Announce a new phase of the demo."""
        self._phase = text
        self._print_line(text)

    def refresh(self, monitor: DemoMonitor) -> None:
        """Show the newest figures. Call it often; it limits the rate itself."""
        now = time.monotonic()
        if now - self._shown_at < (REDRAW_PERIOD if self._live else LINE_PERIOD):
            return
        self._shown_at = now
        shown = demo_figures(monitor)
        if self._live:
            elapsed = f"{now - self._began:.0f} s"
            panel = Panel(figures_grid(shown), title=Text(self._phase), subtitle=elapsed, width=_WIDTH)
            self._live.update(panel, refresh=True)
        elif shown:
            self._print_line(", ".join(f"{label} {text}" for label, text in shown.items()))

    def _print_line(self, text: str) -> None:
        elapsed = time.monotonic() - self._began
        self._console.print(f"{elapsed:5.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)
