# SPDX-License-Identifier: Apache-2.0
"""The one page: what it consists of, its keys, and the bar with STOP that is always there."""

import time
from pathlib import Path
from typing import Any

from nicegui import ui
from nicegui.events import KeyEventArguments

from dit_policy_ros.evaluation.panel._headline import RED
from dit_policy_ros.evaluation.panel._panel import Panel
from dit_policy_ros.evaluation.panel.web._gate import Visitor
from dit_policy_ros.evaluation.panel.web._part import Part
from dit_policy_ros.evaluation.panel.web._recording_parts import (
    CheckPart,
    EpisodesPart,
    RecorderPart,
    TasksPart,
)
from dit_policy_ros.evaluation.panel.web._robot_parts import CamerasPart, JointsPart, LogPart, PolicyPart

_PERIOD = 0.25  # [s] between two refreshes
_FOLDER = Path(__file__).parent
_STOP = (
    '<button id="stop" class="stop" onclick="panelStop()">STOP (esc)'
    "<small>software stop, not safety-rated</small></button>"
)
_LOST = (
    '<div id="lost">NO CONNECTION: this page shows the past, and its STOP does not work. '
    "Use the hardware e-stop</div>"
)


def build_page(panel: Panel) -> None:
    """Build the page for one visitor, and keep it up to date."""
    visitor: Visitor = ui.context.client.request.scope["visitor"]
    ui.add_css((_FOLDER / "panel.css").read_text())
    ui.add_head_html(f"<script>{(_FOLDER / 'panel.js').read_text()}</script>")
    ui.button.default_props("no-caps")
    Page(panel, visitor)


class Page:
    """The elements of one visitor's page.

    Args:
        panel: what is shown.
        visitor: who looks at it. One who may only watch has no identity that could be put in charge.
    """

    def __init__(self, panel: Panel, visitor: Visitor) -> None:
        self._panel = panel
        self._may_operate = visitor.may_operate
        self._browser = visitor.browser if visitor.may_operate else ""
        self._body = ui.query("body")
        ui.html(_LOST, sanitize=False)
        with ui.row().classes("w-full items-end justify-between no-wrap"):
            self._word, self._seconds = ui.label().classes("word"), ui.label().classes("seconds")
        self._next = ui.label().classes("next next-step")
        self._reason = ui.label().classes("reason fault")
        with ui.element("div").classes("grid"):
            self._parts: list[Part] = [
                RecorderPart(panel, self._browser, "", "half"),
                CheckPart(panel, self._browser, "Quality check", "half check"),
                PolicyPart(panel, self._browser, "Policy", "half"),
                CamerasPart(panel, self._browser, "", "half"),
                TasksPart(panel, self._browser, "Tasks", "half"),
                JointsPart(
                    panel, self._browser, "Joints: measured white, commanded yellow, limits red", "half"
                ),
                EpisodesPart(panel, self._browser, "Last episodes", "half"),
                LogPart(panel, self._browser, "What happened", "half"),
            ]
        self._bar()
        ui.keyboard(on_key=self._on_key, ignore=["input", "select", "textarea"])
        ui.timer(_PERIOD, self._refresh)
        self._refresh()

    def _bar(self) -> None:
        operator = self._panel.operator
        with ui.element("div").classes("bottom"):
            ui.html(_STOP, sanitize=False).style("flex: 1 1 14rem; display: flex")
            self._release = self._button("Release stop", operator.release_stop).classes("release-stop")
            self._take = ui.button("Take charge", on_click=self._take_charge, color="blue-9").classes("take")
            self._give = self._button("Leave charge", operator.release_charge).classes("give")
            self._charge = ui.label().classes("charge")
            ui.button("Sound", on_click=self._toggle_sound, color="grey-9").props("dense")

    def _button(self, text: str, act: Any) -> Any:
        return ui.button(text, on_click=lambda: self._parts[0].say(act(self._browser)), color="grey-9")

    def _toggle_sound(self) -> None:
        ui.run_javascript("localStorage.sound = localStorage.sound === 'on' ? 'off' : 'on'")

    def _take_charge(self) -> None:
        if not self._may_operate:
            self._parts[0].say("this address is for watching only")
        elif self._panel.operator.take_charge(self._browser):
            with ui.dialog(value=True), ui.card():
                ui.label("Another page is in charge. Take over from it?").classes("next")
                ui.button("Take over", on_click=lambda: self._panel.operator.take_charge(self._browser, True))

    def _on_key(self, event: KeyEventArguments) -> None:
        operator = self._panel.operator
        words = {"s": operator.start, " ": operator.save, "f": operator.failure, "d": operator.discard}
        words |= {"r": operator.again, "u": operator.undo}
        if not event.action.keydown or event.action.repeat or event.modifiers.ctrl or event.modifiers.meta:
            return
        key = event.key.name
        if key == "o":
            ui.run_javascript("document.documentElement.classList.toggle('scene')")
        elif key in words:
            self._parts[0].say(words[key](self._browser))

    def _refresh(self) -> None:
        panel = self._panel
        found = panel.headline(time.monotonic())
        stop = panel.operator.stop_level
        word = "STOPPING" if stop.wanted else found.word
        self._body.style(f"background-color: {RED if stop.wanted else found.color}")
        self._word.set_text(word)
        self._seconds.set_text("" if found.seconds is None else f"{found.seconds:.0f} s")
        step = (
            "the policy node has not answered yet: use the hardware e-stop"
            if stop.wanted
            else found.next_step
        )
        self._next.set_text(step)
        self._reason.set_text(found.reason)
        self._refresh_bar()
        for part in self._parts:
            part.refresh()

    def _refresh_bar(self) -> None:
        charge = self._panel.operator.charge
        mine, policy = charge.has(self._browser), self._panel.client.policy
        self._take.set_visibility(not mine and self._may_operate)
        self._give.set_visibility(mine)
        self._release.set_visibility(policy is not None and policy.e_stop)
        self._release.set_enabled(mine)
        who = (
            "you are in charge"
            if mine
            else "another page is in charge"
            if charge.holder
            else "nobody is in charge"
        )
        self._charge.set_text(who)
