# SPDX-License-Identifier: Apache-2.0
"""Adds saved episodes to a dataset one after the other, in a thread of its own where nobody should wait."""

import threading
import traceback
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.quiet import quiet
from dit_policy_ros.data.recording._commit import commit_episode


class Committer:
    """Keeps the order: an episode that cannot be added holds up those after it until they are tried again.

    `failure` says why the oldest could not be added, if so; its journal stays where it is.

    Args:
        root: the dataset.
        committed: episodes in it.
        saved: folders of saved episodes that are not in it yet, in order.
        background: whether to use a thread; otherwise `add` waits for the commit.
    """

    def __init__(self, root: Path, committed: int, saved: Sequence[Path], background: bool) -> None:
        self._root = root
        self._committed = committed
        self._waiting = deque(saved)
        self._changed = threading.Condition()
        self._ending = False
        self.failure: str | None = None
        self._thread: threading.Thread | None = None
        if background:
            self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
            self._thread.start()
        else:
            self._commit_all()

    @property
    def next_index(self) -> int:
        """Index of the next episode to be added."""
        with self._changed:
            return self._committed + len(self._waiting)

    @property
    def waiting(self) -> int:
        """Saved episodes that are not in the dataset yet."""
        return len(self._waiting)

    def add(self, folder: Path) -> None:
        """Takes the next saved episode; tries those again that failed. Raises nothing: see `failure`."""
        with self._changed:
            self._waiting.append(folder)
            self.failure = None
            self._changed.notify_all()
        if self._thread is None:
            self._commit_all()

    def close(self) -> None:
        """Waits for all commits; raises DatasetError if one failed. May be called again."""
        with self._changed:
            self.failure = None
            self._ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        else:
            self._commit_all()
        if self.failure is not None:
            raise DatasetError(self.failure)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ending or (self._waiting and self.failure is None))
                if self._ending and (not self._waiting or self.failure is not None):
                    return
            self._commit_all()

    def _commit_all(self) -> None:
        while self._waiting and self.failure is None:
            try:
                with quiet():
                    commit_episode(self._root, self._waiting[0])
            except (DatasetError, OSError) as error:
                self._fail(f"{error!s}. Is the disk full or read-only?")
            except Exception:  # noqa: BLE001 - the thread must live on, and the episode is safe in its journal
                self._fail(f"unexpected error:\n{traceback.format_exc()}")
            else:
                with self._changed:
                    self._waiting.popleft()
                    self._committed += 1

    def _fail(self, reason: str) -> None:
        self.failure = (
            f"the saved episode in {self._waiting[0]} could not be added to the dataset yet: {reason} It "
            "is safe there, and is added when the next one is saved or the recorder starts again"
        )
