# SPDX-License-Identifier: Apache-2.0
"""Commits saved episodes to a dataset one after the other, in a background thread if wanted."""

import threading
import traceback
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.lerobot_calls import quiet_lerobot
from dit_policy_ros.data.recording._commit import UnusableEpisodeError, commit_episode
from dit_policy_ros.data.recording._quarantine import Quarantined, quarantine


class Committer:
    """Commits in order. An episode that cannot be added goes into quarantine, and the next one follows.

    After another failure (a full disk, a damaged dataset) all episodes wait until `add` or `close` tries
    again. `failure` then says why the oldest one could not be committed. Its journal stays.

    quarantined: the episodes in quarantine.

    Args:
        root: the dataset.
        committed: number of episodes in it.
        saved: journals of saved episodes that are not in it yet, in order.
        background: use a thread; otherwise `add` waits for the commit.
        quarantined: episodes that are in quarantine already.
    """

    def __init__(
        self,
        root: Path,
        committed: int,
        saved: Sequence[Path],
        background: bool,
        quarantined: tuple[Quarantined, ...] = (),
    ) -> None:
        self._root = root
        self._committed = committed
        self.quarantined = quarantined
        self._pending = deque(saved)
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
        """Index of the next episode that `add` takes."""
        with self._changed:
            return self._committed + len(self._pending)

    @property
    def committed(self) -> int:
        """Number of episodes in the dataset."""
        return self._committed

    @property
    def pending(self) -> int:
        """Number of saved episodes that are not in the dataset yet."""
        return len(self._pending)

    def add(self, journal: Path) -> None:
        """Takes the next saved episode, and tries failed ones again. Never raises: see `failure`."""
        with self._changed:
            self._pending.append(journal)
            self.failure = None
            self._changed.notify_all()
        if self._thread is None:
            self._commit_all()

    def close(self) -> None:
        """Waits for all commits. Raises DatasetError if one failed. May be called again."""
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
                self._changed.wait_for(lambda: self._ending or (self._pending and self.failure is None))
                if self._ending and (not self._pending or self.failure is not None):
                    return
            self._commit_all()

    def _commit_all(self) -> None:
        while self._pending and self.failure is None:
            try:
                with quiet_lerobot():
                    commit_episode(self._root, self._pending[0])
            except UnusableEpisodeError as error:
                self._set_aside(str(error))
            except (DatasetError, OSError) as error:
                self._fail(f"{error!s}. Is the disk full or read-only?")
            except Exception:  # noqa: BLE001 - the thread must go on, and the episode is safe in its journal
                self._fail(f"unexpected error:\n{traceback.format_exc()}")
            else:
                with self._changed:
                    self._pending.popleft()
                    self._committed += 1

    def _set_aside(self, reason: str) -> None:
        try:
            episode = quarantine(self._root, self._pending[0], reason)
        except OSError as error:
            self._fail(f"{reason}, and it could not be moved into quarantine: {error}.")
            return
        with self._changed:
            self._pending.popleft()
            self.quarantined = (*self.quarantined, episode)

    def _fail(self, reason: str) -> None:
        self.failure = (
            f"the saved episode in {self._pending[0]} could not be added to the dataset yet: {reason} It "
            "is safe there. The recorder tries again when it saves the next episode and when it starts"
        )
