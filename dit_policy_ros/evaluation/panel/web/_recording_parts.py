# SPDX-License-Identifier: Apache-2.0
"""The cards for recording: the operator's words, the check, the tasks and the last episodes."""

import math
from collections.abc import Callable
from typing import Any

from nicegui import ui

from dit_policy_ros.evaluation.consoles import familiarity_words
from dit_policy_ros.evaluation.panel._headline import LOW_DISK
from dit_policy_ros.evaluation.panel._tasks import next_task
from dit_policy_ros.evaluation.panel.web._part import Part
from dit_policy_ros.msg import RecorderStatus


class RecorderPart(Part):
    """Start and Save, Failure, Discard and Again, with Undo."""

    def build(self) -> None:
        operator = self.panel.operator
        with ui.element("div").classes("words"):
            self.start = self.word("Start (s)", operator.start, "big", "blue-9").mark("start")
            self.save = self.word("Save (space)", operator.save, "big", "green-9").mark("save")
            self.others = [
                self.word("Failure (f)", operator.failure, "small", "orange-10"),
                self.word("Discard (d)", operator.discard, "small", "grey-9"),
                self.word("Again (r)", operator.again, "small", "grey-9"),
            ]
            self.undo = self.word("Undo (u)", operator.undo, "all undo", "yellow-10")
            self.at_once = self.word("Now", operator.at_once, "all")
            self.keep = self.word("Keep the interrupted episode", lambda b: operator.recover(b, True), "all")
            self.drop = self.word("Discard it", lambda b: operator.recover(b, False), "all")
        self.figures = ui.label().classes("figures")
        self.interrupted = ui.label()

    def refresh(self) -> None:
        client, operator = self.panel.client, self.panel.operator
        status = client.recorder
        self.card.set_visibility(status is not None)
        if status is None:
            return
        in_charge = operator.charge.has(self.browser)
        runs = status.state in (RecorderStatus.RECORDING, RecorderStatus.ENDED)
        waits = operator.grace.waits and runs
        self.start.set_enabled(in_charge and (not runs or waits) and not operator.edits.is_busy)
        for button in (self.save, *self.others):
            button.set_enabled(in_charge and runs)
        held = operator.grace.held
        self.undo.set_visibility(held is not None)
        if held is not None:
            self.undo.set_text(f"Undo {held.name} (u): {operator.grace.remaining():.0f} s")
            self.undo.set_enabled(in_charge)
        self.at_once.set_visibility(operator.grace.waits)
        self.at_once.set_enabled(in_charge)
        for button in (self.keep, self.drop):
            button.set_visibility(bool(status.interrupted))
            button.set_enabled(in_charge)
        self.interrupted.set_text("; ".join(status.interrupted))
        parts = [f"episode {status.episode_index}", f"{status.frames} frames"] if runs else []
        if not math.isnan(status.remaining) and runs:
            parts.append(f"{status.remaining:.0f} s left")
        minutes = status.disk_minutes_left
        if not math.isnan(minutes):
            low = "LOW DISK: " if minutes < LOW_DISK else ""
            parts.append(f"{low}{minutes / 60.0:.1f} h of disk left")
        if runs:
            parts.append(f"encoder queue {status.encoder_queue}")
        if status.waiting:
            parts.append(f"{status.waiting} saved episodes are being added")
        if operator.edits.waits or operator.edits.is_busy:
            parts.append("an edit of the dataset " + ("runs" if operator.edits.is_busy else "waits"))
        self.figures.set_text(", ".join(parts))


class CheckPart(Part):
    """The recorder's check of the last episode."""

    def build(self) -> None:
        self.verdict = ui.label().classes("next verdict")
        self.reasons = ui.label().classes("reason")
        self.figures = ui.label()

    def refresh(self) -> None:
        report = self.panel.client.report
        self.card.set_visibility(report is not None)
        if report is None:
            return
        label = "success" if report.success_label else "failure"
        self.card.classes(**{"remove" if report.passed else "add": "bad"})
        passed = "passed the check" if report.passed else "FAILED THE CHECK"
        self.verdict.set_text(f"Episode {report.episode_index} {passed}, labelled {label}")
        self.reasons.set_text("\n".join([*report.reasons, *report.warnings]))
        self.figures.set_text(
            f"{report.frames} frames, {report.duration:.1f} s, slowest camera {report.fps:.1f} Hz"
        )


class TasksPart(Part):
    """The tasks with their counts, and free text for another one."""

    def build(self) -> None:
        self.now = ui.label().classes("next task")
        self.listed: list[Any] = []
        self.table = ui.element("div").classes("tasks")
        self.text = (
            ui.input("another task", autocomplete=[]).classes("w-full task-text").props("dark outlined dense")
        )
        with ui.row().classes("q-mt-sm"):
            ui.button("Record this", on_click=lambda: self._ask(self._record), color="blue-9").classes(
                "record-this"
            )
            self.tell = ui.button("Tell the policy", on_click=lambda: self._ask(self._tell), color="green-9")
            self.tell.classes("tell-policy")
        self.asked = ui.column()

    def refresh(self) -> None:
        panel = self.panel
        policy = panel.client.policy
        told = f"Policy: {policy.task or '(none)'}" if policy is not None else ""
        if policy is not None and not policy.known_task:
            told += " (the checkpoint was not trained on it)"
        if policy is not None and (words := familiarity_words(policy)):
            told += f", {words}"
        recorded = (
            f"Recording: {panel.operator.task or '(none)'}" if panel.client.recorder is not None else ""
        )
        self.now.set_text("   ".join(part for part in (recorded, told) if part))
        self.tell.set_visibility(policy is not None)
        listed = panel.tasks()
        known = panel.known_tasks()
        if [*listed, *known] != self.listed:
            self.listed = [*listed, *known]
            self.text.set_autocomplete(known)
            self._fill(listed, known)

    def _fill(self, listed: list[Any], known: list[str]) -> None:
        following = next_task(listed)
        rest = [task for task in known if task not in {each.task for each in listed}]
        self.table.clear()
        with self.table:
            for task, count in [*((e.task, f"{e.done}/{e.goal}") for e in listed), *((t, "") for t in rest)]:
                ui.label(task).classes("font-bold" if task == following else "")
                ui.label(f"{count}{'  next' if task == following else ''}")
                ui.button("Use", on_click=lambda t=task: self.text.set_value(t), color="grey-9").props(
                    "dense"
                )

    def _ask(self, act: Callable[[str], str]) -> None:
        """Act on the text, unless it is nearly a known task: then ask which one is meant."""
        text = (self.text.value or "").strip()
        meant = self.panel.operator.meant(text, self.panel.known_tasks())
        self.asked.clear()
        if not text:
            self.say("type a task, or press Use")
        elif not meant:
            self.say(act(text))
        else:
            with self.asked:
                ui.label(f"Did you mean: {meant}?").classes("next")
                with ui.row():
                    for answer, task in (("Yes", meant), (f"No, keep: {text[:40]}", text)):
                        ui.button(answer, on_click=lambda t=task: self._answer(act, t), color="yellow-10")

    def _answer(self, act: Callable[[str], str], task: str) -> None:
        self.asked.clear()
        self.text.set_value(task)
        self.say(act(task))

    def _record(self, task: str) -> str:
        return self.panel.operator.choose_task(self.browser, task)

    def _tell(self, task: str) -> str:
        return self.panel.operator.tell_policy(self.browser, task)


class EpisodesPart(Part):
    """The last ten episodes, with label, check and a picture."""

    def build(self) -> None:
        self.shown: Any = None
        self.list = ui.element("div").classes("w-full episodes")

    def refresh(self) -> None:
        shelf = self.panel.shelf.shelf
        self.card.set_visibility(bool(shelf.newest or shelf.problem))
        if shelf is self.shown:
            return
        self.shown = shelf
        self.list.clear()
        with self.list:
            if shelf.problem:
                ui.label(shelf.problem)
            for episode in shelf.newest:
                self._row(episode, shelf.thumbnails or {})

    def _row(self, episode: Any, thumbnails: dict[int, bytes]) -> None:
        operator, index = self.panel.operator, episode.index
        generation = self.shown.generation
        label = {True: "success", False: "failure", None: "no label"}[episode.label]
        check = "" if episode.passed else ", FAILED CHECK: " + "; ".join(episode.reasons)
        text = f"{index}: {episode.task}, {episode.seconds:.1f} s, {label}{check}"
        with ui.element("div").classes("episode"):
            if index in thumbnails:
                ui.html(
                    f'<img src="/thumbnail/{index}.jpg?n={len(thumbnails[index])}" alt="">', sanitize=False
                )
            ui.label(text).classes("text")
            other = not episode.label
            name = "Success" if other else "Failure"
            ui.button(
                name,
                on_click=lambda: self.say(operator.relabel(self.browser, index, other, generation)),
                color="grey-9",
            ).props("dense")
            ui.button(
                "Delete",
                on_click=lambda: self.say(operator.remove(self.browser, index, generation)),
                color="grey-9",
            ).props("dense")
