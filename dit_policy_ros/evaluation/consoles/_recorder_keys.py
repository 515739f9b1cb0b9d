# SPDX-License-Identifier: Apache-2.0
"""What the keys of the recorder's console do."""

from collections.abc import Callable

from dit_policy_ros.evaluation.consoles._recorder_client import RecorderClient

KEYS_HELP = "s begin   space success   f failure   d discard   r again   t task   q leave"


class RecorderKeys:
    """Maps keys to calls of the recorder.

    Args:
        client: of the recorder.
        task: instruction of the next episode.
        read_text: asks the operator for a line of text; gets the prompt.

    Attributes:
        task: instruction of the next episode.
    """

    def __init__(self, client: RecorderClient, task: str, read_text: Callable[[str], str]) -> None:
        self._client = client
        self._read_text = read_text
        self.task = task

    def press(self, key: str) -> bool:
        """Do what a key stands for. Returns False if the operator wants to leave."""
        client, was_recording = self._client, self._client.is_recording
        if key == "q":
            return False
        if key == "s":
            client.start_episode(self.task)
        elif key in (" ", "f", "d"):
            client.stop_episode(save=key != "d", success=key == " ")
        elif key == "r":
            client.rerecord()
        elif key in ("k", "x"):
            client.recover(keep=key == "k")
        elif key == "t" and (task := self._read_text("instruction: ").strip()):
            self.task = task
            if was_recording:
                client.set_task(task)
        return True
