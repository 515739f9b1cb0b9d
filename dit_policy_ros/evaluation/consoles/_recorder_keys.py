# SPDX-License-Identifier: Apache-2.0
"""What the keys of the recorder's console do."""

from collections.abc import Callable

from dit_policy_ros.evaluation.consoles._recorder_client import RecorderClient

KEYS_HELP = "s begin   space success   f failure   d discard   r again   t task   q leave"
_ESCAPE, _BACKSPACES = "\x1b", ("\x7f", "\b")
_ENTERS = ("\n", "\r")  # some releases of Python's tty.setcbreak leave the carriage return as it is


class RecorderKeys:
    """Maps keys to calls of the recorder. What destroys an episode is asked about first.

    Args:
        client: of the recorder.
        task: instruction of the next episode.

    Attributes:
        task: instruction of the next episode.
        typed: the instruction that is being typed; None if none is.
        question: what waits for y; "" if nothing does.
    """

    def __init__(self, client: RecorderClient, task: str) -> None:
        self._client = client
        self.task = task
        self.typed: str | None = None
        self.question = ""
        self._asked: Callable[[], None] = lambda: None

    @property
    def prompt(self) -> str:
        """What the operator is asked for now; "" if nothing is."""
        if self.typed is not None:
            return f"instruction (Enter takes it, Escape leaves it): {self.typed}_"
        return f"{self.question} Press y, or any other key for no" if self.question else ""

    def press(self, key: str) -> bool:
        """Do what a key stands for. Returns False if the operator wants to leave."""
        client = self._client
        if self.typed is not None:
            self._type(key)
        elif self.question:
            self.question = ""
            if key == "y":
                self._asked()
        elif key == "q":
            return False
        elif key == "s":
            client.start_episode(self.task)
        elif key in (" ", "f"):
            client.stop_episode(save=True, success=key == " ")
        elif key == "d" and client.has_episode:
            self._ask("Discard this episode?", lambda: client.stop_episode(save=False, success=False))
        elif key == "r" and client.has_episode:
            self._ask("Discard this episode and begin again?", client.rerecord)
        elif key == "x" and client.status is not None and client.status.interrupted:
            self._ask("Discard the interrupted episodes?", lambda: client.recover(keep=False))
        elif key == "k":
            client.recover(keep=True)
        elif key == "t":
            self.typed = ""
        return True

    def _ask(self, question: str, act: Callable[[], None]) -> None:
        self.question, self._asked = question, act

    def _type(self, key: str) -> None:
        text = self.typed or ""
        if key in _BACKSPACES:
            self.typed = text[:-1]
        elif key == _ESCAPE:
            self.typed = None
        elif key not in _ENTERS:
            self.typed = text + key
        else:
            self.typed = None
            if task := text.strip():
                self.task = task
                if self._client.is_recording:
                    self._client.set_task(task)
