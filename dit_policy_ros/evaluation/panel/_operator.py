# SPDX-License-Identifier: Apache-2.0
"""What the operator can say, by button, key or pedal, and who may say it."""

from collections.abc import Callable, Iterable

from dit_policy_ros.evaluation.consoles import Answer
from dit_policy_ros.evaluation.panel._charge import Charge
from dit_policy_ros.evaluation.panel._client import PanelClient
from dit_policy_ros.evaluation.panel._dataset_edits import DatasetEdits
from dit_policy_ros.evaluation.panel._grace import Grace
from dit_policy_ros.evaluation.panel._heartbeat import heartbeat
from dit_policy_ros.evaluation.panel._stop_level import StopLevel
from dit_policy_ros.evaluation.panel._tasks import similar_task
from dit_policy_ros.msg import RecorderStatus

_MAY_WATCH = "this page only watches: press Take charge first"
_RUNS = (RecorderStatus.RECORDING, RecorderStatus.ENDED)
_LONGEST_TASK = 500  # characters
ENDINGS = ("Discard", "Again")  # words that wait while the episode is recorded further
_CHOOSE_AGAIN = "choose again in the list"
_LOST = "the page in charge has lost its connection"


class Operator:
    """Carries out the operator's words. Each returns why it was refused, or "".

    The first argument of each word is the browser that says it. All but STOP are for the one in charge.

    Args:
        client: of policy and recorder.
        charge: who is in charge.
        grace: what can be undone.
        edits: of saved episodes.

    Attributes:
        heartbeat: for the policy node.
        stop_level: the stop that the panel wants.
        task: instruction of the next episode.
    """

    def __init__(self, client: PanelClient, charge: Charge, grace: Grace, edits: DatasetEdits) -> None:
        self.client, self.charge, self.grace, self.edits = client, charge, grace, edits
        self.heartbeat = heartbeat(client.node, client.policy_node)
        self.stop_level = StopLevel(lambda: client.e_stop(True))
        self.task = ""

    def tick(self) -> None:
        """Watch the page in charge, repeat a stop, and carry out what has waited long enough."""
        if self.charge.drop_lost():
            waited = self.grace.forget()
            kept = f"; {waited} was not carried out" if waited else ""
            if self.client.policy_may_move:
                self.stop_level.press()
                self.client.say(f"{_LOST}: the policy is stopped{kept}", is_bad=True)
            else:
                self.client.say(f"{_LOST}{kept}", is_bad=True)
        self.heartbeat.tick(bool(self.charge.holder))
        self.stop_level.tick(*self.client.latched)
        self.grace.tick()
        if not self.grace.waits:  # a deletion that waits belongs to the present indices
            self.edits.tick()

    # --- charge and stop -----------------------------------------------------------------------------------

    def take_charge(self, browser: str, by_force: bool = False) -> str:
        """Put this browser in charge."""
        if self.charge.take(browser, by_force):
            return ""
        return "another page is in charge"

    def release_charge(self, browser: str) -> str:
        """Leave without a stop: from now on nobody watches through this panel."""
        if not self.charge.release(browser):
            return _MAY_WATCH
        self.heartbeat.leave()
        return ""

    def stop(self, _: str) -> str:
        """Stop the policy. Everybody may."""
        self.stop_level.press()
        return ""

    def release_stop(self, browser: str) -> str:
        """Clear the stop; motion needs Resume besides."""

        def act() -> str:
            self.stop_level.release()
            self.client.e_stop(False)
            return ""

        return self._in_charge(browser, act)

    # --- recording -----------------------------------------------------------------------------------------

    def start(self, browser: str) -> str:
        """Begin an episode. If Discard or Again waits, it is carried out now."""

        def act() -> str:
            if not self.task:
                return "choose a task first"
            if self.edits.is_busy:
                return "the dataset is being edited: one moment"
            if self._keep_recording():
                self.client.stop_episode(save=False, success=False, on_answer=self._start_after)
            else:
                self.grace.finish()
                self.client.start_episode(self.task)
            return ""

        return self._in_charge(browser, act)

    def _keep_recording(self) -> str:
        """Drop a Discard or Again that waits; returns its name, or ""."""
        held = self.grace.held
        return self.grace.forget() if held is not None and held.name in ENDINGS else ""

    def _start_after(self, answer: Answer) -> None:
        if answer.success:
            self.client.start_episode(self.task)

    def save(self, browser: str) -> str:
        """End the episode as a success."""
        return self._in_charge(browser, lambda: self._end(success=True))

    def failure(self, browser: str) -> str:
        """End the episode as a failure."""
        return self._in_charge(browser, lambda: self._end(success=False))

    def _end(self, success: bool) -> str:
        if not self._is_recording:
            return "no episode is running"
        self._keep_recording()  # an episode that is saved is not discarded
        generation = self.edits.generation

        def on_answer(answer: Answer) -> None:
            index = answer.response.report.episode_index if answer.success and answer.response else -1
            if index >= 0:
                name = "Save" if success else "Failure"
                self.grace.done(name, undo=lambda: self._relabel(index, not success, generation))

        self.client.stop_episode(save=True, success=success, on_answer=on_answer)
        return ""

    def discard(self, browser: str) -> str:
        """Drop the running episode, after the time to undo; until then it is recorded further."""

        def act() -> str:
            if not self._is_recording:
                return "no episode is running"
            self._keep_recording()
            self.grace.later("Discard", lambda: self.client.stop_episode(save=False, success=False))
            return ""

        return self._in_charge(browser, act)

    def again(self, browser: str) -> str:
        """Drop the running episode and begin it again, after the time to undo."""

        def act() -> str:
            if not self._is_recording:
                return "no episode is running"
            self._keep_recording()
            self.grace.later("Again", self.client.rerecord)
            return ""

        return self._in_charge(browser, act)

    def undo(self, browser: str) -> str:
        """Take the last word back."""
        return self._in_charge(browser, lambda: "" if self._undo() else "there is nothing to undo")

    def _undo(self) -> str:
        if name := self.grace.undo():
            self.client.say(f"undone: {name}")
        return name

    def at_once(self, browser: str) -> str:
        """Do not wait for the time to undo."""

        def act() -> str:
            self.grace.finish()
            return ""

        return self._in_charge(browser, act)

    def recover(self, browser: str, keep: bool) -> str:
        """Keep or discard what a crash interrupted."""

        def act() -> str:
            self.client.recover(keep)
            return ""

        return self._in_charge(browser, act)

    @property
    def _is_recording(self) -> bool:
        status = self.client.recorder
        return status is not None and status.state in _RUNS

    # --- saved episodes ------------------------------------------------------------------------------------

    def relabel(self, browser: str, index: int, success: bool, generation: int = 0) -> str:
        """Give a saved episode another label. generation: of the list that its index is from."""

        def act() -> str:
            if refusal := self._relabel(index, success, generation):
                return refusal
            self.grace.done("Relabel", undo=lambda: self._relabel(index, not success, generation))
            return ""

        return self._in_charge(browser, act)

    def _relabel(self, index: int, success: bool, generation: int) -> str:
        if refusal := self._outdated(generation):
            self.client.say(refusal, is_bad=True)
        else:
            self.edits.relabel(index, success)
        return refusal

    def _outdated(self, generation: int) -> str:
        """Why an index cannot be used; "" if it can: a removal gives the later episodes other ones."""
        if self.edits.is_busy and self.edits.generation != generation:
            return "the dataset is being edited: one moment"
        return "" if self.edits.generation == generation else f"episodes were removed: {_CHOOSE_AGAIN}"

    def remove(self, browser: str, index: int, generation: int = 0) -> str:
        """Remove a saved episode, after the time to undo. generation: of the list that its index is from."""

        def act() -> str:
            if refusal := self._outdated(generation):
                return refusal
            self.grace.later(f"Delete episode {index}", lambda: self.edits.remove(index))
            return ""

        return self._in_charge(browser, act)

    # --- tasks and policy ----------------------------------------------------------------------------------

    def choose_task(self, browser: str, text: str) -> str:
        """Set the instruction of the next episode, and of the running one."""

        def act() -> str:
            self.task = " ".join(text.split())[:_LONGEST_TASK]
            if self._is_recording and self.task:
                self.client.set_episode_task(self.task)
            return ""

        return self._in_charge(browser, act)

    def tell_policy(self, browser: str, text: str) -> str:
        """Give the policy another instruction; the arms may go on to move."""

        def act() -> str:
            self.client.set_policy_task(" ".join(text.split())[:_LONGEST_TASK])
            return ""

        return self._in_charge(browser, act)

    def resume(self, browser: str) -> str:
        """End a HOLD."""

        def act() -> str:
            self.client.resume()
            return ""

        return self._in_charge(browser, act)

    def take_over(self, browser: str) -> str:
        """Drive by the leader arms."""

        def act() -> str:
            self.client.take_over()
            return ""

        return self._in_charge(browser, act)

    def hand_back(self, browser: str) -> str:
        """Let the policy drive again."""

        def act() -> str:
            self.client.hand_back()
            return ""

        return self._in_charge(browser, act)

    def home(self, browser: str) -> str:
        """Send the arms to their rest pose."""

        def act() -> str:
            self.client.home()
            return ""

        return self._in_charge(browser, act)

    def set_velocity_scale(self, browser: str, scale: float) -> str:
        """Change how fast the policy may move."""

        def act() -> str:
            if not 0.01 <= scale <= 1.0:
                return f"velocity scale: expected 0.01 to 1, got {scale:g}"
            self.client.set_velocity_scale(scale)
            return ""

        return self._in_charge(browser, act)

    def save_incident(self, browser: str) -> str:
        """Write down what happened in the last seconds."""

        def act() -> str:
            self.client.save_incident()
            return ""

        return self._in_charge(browser, act)

    def meant(self, text: str, known: Iterable[str]) -> str:
        """The known task that a text probably means; "" if there is nothing to ask."""
        return similar_task(text, known)

    def _in_charge(self, browser: str, act: Callable[[], str]) -> str:
        return act() if self.charge.has(browser) else _MAY_WATCH
