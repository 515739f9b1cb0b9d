# SPDX-License-Identifier: Apache-2.0
"""The cards that show the robot: cameras, policy, joints, and what happened."""

import html
import math
import time
from typing import Any

from nicegui import ui

from dit_policy_ros.evaluation.panel._cameras import STALE_AFTER
from dit_policy_ros.evaluation.panel.web._part import Part, clock
from dit_policy_ros.msg import PolicyStatus

_SCALES = [0.05, 0.1, 0.25, 0.5, 0.75, 1.0]


class CamerasPart(Part):
    """The cameras, red when they are stale, and the last scene to lay over them."""

    def build(self) -> None:
        self.tiles: dict[str, tuple[Any, Any]] = {}
        self.grid = ui.element("div").classes("cameras")
        ui.button(
            "Last scene over the picture (o)",
            on_click=lambda: ui.run_javascript("document.documentElement.classList.toggle('scene')"),
            color="grey-9",
        ).props("dense").classes("scene-button q-mt-sm")

    def refresh(self) -> None:
        cameras = self.panel.client.cameras
        self.card.set_visibility(bool(cameras))
        if set(cameras) != set(self.tiles):
            self.grid.clear()
            with self.grid:
                self.tiles = {name: self._tile(name) for name in cameras}
        now = time.monotonic()
        for name, (tile, caption) in self.tiles.items():
            camera = cameras[name]
            age = camera.age(now)
            text = (
                f"{name}: no image"
                if math.isinf(age)
                else f"{name} {camera.rate(now):.0f} Hz, {age:.1f} s old"
            )
            caption.set_text(camera.problem or text)
            tile.classes(**{"add" if age > STALE_AFTER else "remove": "stale"})

    def _tile(self, name: str) -> tuple[Any, Any]:
        escaped = html.escape(name, quote=True)
        with ui.element("div").classes("tile") as tile:
            for kind in ("live", "scene"):
                ui.html(f'<img class="{kind}" data-camera="{escaped}" alt="">', sanitize=False)
            caption = ui.label().classes("caption")
        return tile, caption


class PolicyPart(Part):
    """The policy: Resume, velocity, latencies, incidents."""

    def build(self) -> None:
        operator = self.panel.operator
        with ui.row().classes("items-center gap-2 q-mb-sm"):
            self.resume = self.word("Resume", operator.resume, "resume", "green-9")
            self.take_over = self.word("Take over", operator.take_over, "take-over", "blue-9")
            self.hand_back = self.word("Hand back", operator.hand_back, "hand-back", "blue-9")
            self.home = self.word("Home", operator.home, "home")
            self.incident = self.word("Save incident", operator.save_incident, "")
        with ui.row().classes("items-center gap-2 q-mb-sm"):
            ui.label("velocity")
            for scale in _SCALES:
                self.word(f"{scale:.0%}", lambda b, s=scale: operator.set_velocity_scale(b, s), "").props(
                    "dense"
                )
            self.scale = ui.label().classes("font-bold velocity")
        self.figures = ui.label().classes("log")

    def refresh(self) -> None:
        client = self.panel.client
        status = client.policy
        self.card.set_visibility(status is not None)
        if status is None:
            return
        in_charge = self.panel.operator.charge.has(self.browser)
        self.resume.set_enabled(in_charge and status.state == PolicyStatus.HOLD)
        is_active, is_led = status.state >= PolicyStatus.WAITING, status.state == PolicyStatus.INTERVENTION
        self.take_over.set_enabled(in_charge and is_active and not is_led)
        self.hand_back.set_enabled(in_charge and is_led)
        self.home.set_enabled(in_charge and is_active)
        scale = client.velocity_scale
        self.scale.set_text("" if scale is None else f"now {scale:.0%}")
        lines = [
            f"state {status.state_name}{', shadow mode' if status.dry_run else ''}",
            f"inference {_ms(status.inference_latency_p50)}, p95 {_ms(status.inference_latency_p95)}"
            f" on {status.device}; image to trajectory {_ms(status.pipeline_latency_p50)}",
            f"chunks {status.chunk_rate:.1f} Hz, {status.disagreements} disagreements, "
            f"{status.expired_chunks} expired; {status.limited_knots} knots limited; {status.holds} holds",
        ]
        lines += [f"hold {clock(when)}: {reason}" for when, reason in list(client.holds)[-3:]]
        lines += [f"incident {folder}" for folder in list(client.incidents)[-5:]]
        self.figures.set_text("\n".join(lines))


class JointsPart(Part):
    """Measured (white), commanded (yellow) and limits (red) of each joint over ten seconds."""

    def build(self) -> None:
        ui.html('<canvas id="joints"></canvas>', sanitize=False).classes("w-full")

    def refresh(self) -> None:
        self.card.set_visibility(
            self.panel.client.policy is not None and self.panel.client.joints is not None
        )


class LogPart(Part):
    """What happened, newest first."""

    def build(self) -> None:
        self.lines = ui.label().classes("log")

    def refresh(self) -> None:
        events = list(self.panel.client.events)[-30:]
        mark = {True: "! ", False: "  "}
        self.lines.set_text("\n".join(f"{clock(e.when)} {mark[e.is_bad]}{e.text}" for e in reversed(events)))


def _ms(seconds: float) -> str:
    return "?" if math.isnan(seconds) else f"{seconds * 1e3:.0f} ms"
