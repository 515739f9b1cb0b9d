# SPDX-License-Identifier: Apache-2.0
"""Labels and removals of episodes that are saved already.

The recorder changes labels itself (~/relabel_episode). To remove episodes it closes the dataset for a moment,
because only one process writes to it: it is deactivated and cleaned up, the episodes are removed as
`dit_policy inspect` does it, and the recorder is configured and activated again. All of that are public
services.
"""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from lifecycle_msgs.msg import Transition

from dit_policy_ros.evaluation.consoles import Answer
from dit_policy_ros.evaluation.panel._client import PanelClient
from dit_policy_ros.msg import RecorderStatus

_TIMEOUT = 600.0  # [s] for an edit; removing copies the dataset
_CLOSE = {
    RecorderStatus.READY: (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP),
    RecorderStatus.INACTIVE: (Transition.TRANSITION_CLEANUP,),
}
_OPEN = {
    RecorderStatus.READY: (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE),
    RecorderStatus.INACTIVE: (Transition.TRANSITION_CONFIGURE,),
}


def inspect_dataset(root: Path, labels: dict[int, bool], removed: set[int]) -> str:
    """Label and remove episodes in a process of its own. Returns what went wrong; "" if nothing did."""
    arguments = [str(root)]
    for option, wanted in (("--success", True), ("--failure", False)):
        if numbers := sorted(index for index, label in labels.items() if label == wanted):
            arguments += [option, ",".join(map(str, numbers))]
    if removed:
        arguments += ["--delete", ",".join(map(str, sorted(removed)))]
    command = [sys.executable, "-m", "dit_policy_ros.cli.inspect", *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return f"editing {root} took longer than {_TIMEOUT:g} s"
    return "" if ended.returncode == 0 else (ended.stderr.strip() or "no reason was given")


class DatasetEdits:
    """Gathers edits and carries them out together, when the recorder is ready and nothing else waits.

    Args:
        client: of the recorder.
        edit: does the edits; returns what went wrong.
        on_edited: called after each try.

    Attributes:
        labels: label that an episode is to get, by index. removed: episodes to be removed.
        is_busy: an edit is being carried out; no episode can begin.
        generation: counts the edits that remove episodes, and so give the later ones other indices.
    """

    def __init__(
        self,
        client: PanelClient,
        edit: Callable[[Path, dict[int, bool], set[int]], str] = inspect_dataset,
        on_edited: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._edit = edit
        self._on_edited = on_edited
        self.labels: dict[int, bool] = {}
        self.removed: set[int] = set()
        self.is_busy = False
        self.generation = 0

    @property
    def waits(self) -> bool:
        """Whether edits wait to be carried out."""
        return bool(self.labels or self.removed)

    def relabel(self, index: int, success: bool) -> None:
        """Give an episode another label."""
        self.labels[index] = success

    def remove(self, index: int) -> None:
        """Remove an episode; the unchanged dataset is kept beside the new one."""
        self.removed.add(index)

    def tick(self) -> None:
        """Begin to edit if it is possible now."""
        status = self._client.recorder
        if not self.waits or self.is_busy or status is None or status.state == RecorderStatus.UNCONFIGURED:
            return
        if status.waiting or not status.dataset:  # saved episodes are being added; they are counted then
            return
        if not self.removed:
            self._relabel()
            return
        if status.state not in _CLOSE:
            return
        self.is_busy = True
        self.generation += bool(self.removed)
        labels, removed = dict(self.labels), set(self.removed)
        self.labels, self.removed = {}, set()
        state, root = status.state, Path(status.dataset)
        self._client.say("the recorder closes the dataset for an edit")
        self._walk(_CLOSE[state], lambda: self._begin(root, labels, removed, state), self._reopen(state))

    def _relabel(self) -> None:
        """Let the recorder change one label; the next one follows."""
        index, label = next(iter(self.labels.items()))
        del self.labels[index]
        self.is_busy = True

        def on_answer(_: Answer) -> None:
            self.is_busy = False
            self._on_edited()

        self._client.relabel(index, label, on_answer)

    def _begin(self, root: Path, labels: dict[int, bool], removed: set[int], state: int) -> None:
        def work() -> None:
            problem = self._edit(root, labels, removed)
            if problem:
                self._client.say(f"the dataset was not edited: {problem}", is_bad=True)
            else:
                self._client.say(f"edited: {len(labels)} labels, {len(removed)} episodes removed")
            self._reopen(state)()

        threading.Thread(target=work, name="dataset edit", daemon=True).start()

    def _reopen(self, state: int) -> Callable[[], None]:
        def done() -> None:
            self.is_busy = False
            self._on_edited()

        def failed() -> None:
            self._client.say(
                "the recorder did not open the dataset again: configure and activate it", is_bad=True
            )
            done()

        return lambda: self._walk(_OPEN[state], done, failed)

    def _walk(self, steps: tuple[int, ...], then: Callable[[], None], failed: Callable[[], None]) -> None:
        """Take the recorder through transitions; each begins when the former has ended."""
        if not steps:
            then()
            return
        answered = threading.Event()

        def on_answer(answer: Answer) -> None:
            if answered.is_set():  # a late answer after the word that none came
                return
            answered.set()
            if answer.success:
                self._walk(steps[1:], then, failed)
            else:
                self._client.say(f"the recorder refused a transition {answer.message}".rstrip(), is_bad=True)
                failed()

        self._client.change_recorder(steps[0], on_answer)
