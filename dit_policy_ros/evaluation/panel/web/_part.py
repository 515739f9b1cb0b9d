# SPDX-License-Identifier: Apache-2.0
"""What all cards of the page have in common: they are built once, and refreshed."""

import html
import time
from collections.abc import Callable
from typing import Any

from nicegui import ui

from dit_policy_ros.evaluation.panel._panel import Panel


class Part:
    """One card of the page.

    Args:
        panel: what is shown.
        browser: who looks at this page.
        title: heading of the card; "" without one.
        classes: CSS classes of its size.
    """

    def __init__(self, panel: Panel, browser: str, title: str, classes: str = "") -> None:
        self.panel, self.browser = panel, browser
        self.card = ui.element("section").classes(f"part {classes}")
        if title:
            with self.card:
                ui.html(html.escape(title), tag="h2", sanitize=False)
        with self.card:
            self.build()

    def build(self) -> None:
        """Make the elements."""

    def refresh(self) -> None:
        """Set what has changed."""

    def say(self, refusal: str) -> None:
        """Show why a word was refused."""
        if refusal:
            ui.notify(refusal, type="warning", position="top", timeout=4000)

    def word(self, text: str, act: Callable[[str], str], classes: str, color: str = "grey-9") -> Any:
        """A button that says a word of the operator."""
        return ui.button(text, on_click=lambda: self.say(act(self.browser)), color=color).classes(classes)


def clock(when: float) -> str:
    """A time of ``time.time()`` [s] on this computer's clock."""
    return time.strftime("%H:%M:%S", time.localtime(when))
