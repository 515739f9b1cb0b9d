# SPDX-License-Identifier: Apache-2.0
"""Writes episodes into a LeRobotDataset v3 so that a saved episode is never lost.

While it is recorded, an episode is a journal in the dataset's folder. Saving forces the journal to the disk.
Committing it to LeRobot's files can happen in the background; an interrupted commit is completed at the next
start.
"""

import contextlib
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np

from dit_policy_ros.core.atomic_files import make_folders
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.dataset import (
    JOURNAL_FOLDER,
    VECTOR_STREAMS,
    DatasetSpec,
    check_compatible,
    check_writable,
    folder_size,
    inspect_folder,
    nearest_existing,
)
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, quiet_lerobot
from dit_policy_ros.data.lock import DatasetLock
from dit_policy_ros.data.recording._committer import Committer
from dit_policy_ros.data.recording._frame_check import FrameCheck
from dit_policy_ros.data.recording._journal_format import CameraHealth, EpisodeOutcome, JournalHeader
from dit_policy_ros.data.recording._journal_writer import JournalWriter
from dit_policy_ros.data.recording._recovery import (
    MIN_FRAMES,
    Interrupted,
    Recover,
    discard_interrupted,
    find_episodes,
    keep_interrupted,
    next_journal,
    pending_episodes,
)
from dit_policy_ros.data.video import CameraImage, VideoSettings

_NO_OUTCOME = EpisodeOutcome()


class DatasetWriter:
    """Appends episodes to a dataset. Creates the folder, or checks that the existing dataset matches.

    Args:
        root: the dataset's folder.
        spec: what every episode consists of.
        video: how images are encoded; None for the defaults.
        background: commit saved episodes in a background thread.
        recover: what to do with an episode that a crash interrupted.

    Raises:
        DatasetError: the path is a file, another kind of folder, damaged, not writable or in use by another
            recorder; or the dataset was recorded with another contract (the message lists all differences).
    """

    def __init__(
        self,
        root: Path | str,
        spec: DatasetSpec,
        video: VideoSettings | None = None,
        background: bool = False,
        recover: Recover = Recover.ASK,
    ) -> None:
        self._root = Path(root)
        self._spec = spec
        settings = video or VideoSettings()
        self.jpeg_cameras = frozenset(camera.name for camera in spec.cameras if settings.keeps_jpeg(camera))
        self._frame_check = FrameCheck(spec, self.jpeg_cameras)
        self._journal: JournalWriter | None = None
        self._failure: str | None = None  # why the running episode takes no more frames
        check_writable(self._root)
        if not pending_episodes(self._root):
            self._count_episodes()  # raises before anything is created
        with quiet_lerobot(), preserve_root_logger():
            import lerobot.datasets  # noqa: F401 - takes seconds, so not while recording

            settings = settings.with_working_codec()
        streams = (*(camera.name for camera in spec.cameras), *VECTOR_STREAMS)
        self._header = JournalHeader(spec, streams, settings)
        with self._dataset_errors("opened"):
            make_folders(self._root / JOURNAL_FOLDER)
            self._lock = DatasetLock(self._root / JOURNAL_FOLDER / "lock", self._root)
        try:
            with self._dataset_errors("recovered"):
                saved = self._recover(recover)
            # Commit what is saved before the dataset is checked and before new episodes are added.
            Committer(self._root, 0, saved, background=False).close()
            self._committer = Committer(self._root, self._count_episodes(), (), background)
        except BaseException:
            self._lock.release()
            raise

    @property
    def root(self) -> Path:
        """The dataset's folder."""
        return self._root

    @property
    def next_index(self) -> int:
        """Index of the running episode, or else of the next one."""
        return self._committer.next_index

    @property
    def episode_bytes(self) -> int:
        """Current size of the running episode on the disk [byte]."""
        journal = self._journal
        return 0 if journal is None else folder_size(journal.folder)

    @property
    def pending_commits(self) -> int:
        """Number of saved episodes that are safe, but not in LeRobot's files yet."""
        return self._committer.pending

    @property
    def commit_failure(self) -> str | None:
        """Why a saved episode could not be committed, or None; it is tried again."""
        return self._committer.failure

    @property
    def interrupted(self) -> tuple[Interrupted, ...]:
        """Episodes that a crash interrupted and that wait for a decision (if `recover` is ask)."""
        return self._interrupted

    def resolve_interrupted(self, keep: bool) -> int:
        """Saves the recorded part of the interrupted episodes, or removes them; returns their number."""
        episodes, self._interrupted = self._interrupted, ()
        with self._dataset_errors("recovered"):
            if not keep:
                discard_interrupted(episodes)
            else:
                for journal in keep_interrupted(episodes):
                    self._committer.add(journal)
        return len(episodes)

    def begin_episode(self) -> None:
        """Begins an episode, so that the first frame need not wait.

        Raises DatasetError if one is running, or if interrupted episodes wait for a decision.
        """
        if self._journal is not None:
            raise DatasetError("an episode is running already")
        if self._interrupted:
            waiting = listing(map(str, self._interrupted))
            raise DatasetError(f"interrupted episodes must be kept or discarded first: {waiting}")
        self._failure = None
        with self._dataset_errors("extended"):
            self._journal = JournalWriter(next_journal(self._root), self._header)

    def add_frame(
        self,
        images: Mapping[str, CameraImage],
        state: np.ndarray,
        action: np.ndarray,
        task: str,
        stamp_ns: int = 0,
        repeated: Collection[str] = (),
    ) -> None:
        """Appends a frame to the running episode; begins an episode if none runs. See EpisodeSink.

        Raises:
            DatasetError: a value is not finite, the task is empty, or writing failed. After a failed write
                the episode takes no more frames.
            ValueError: wrong cameras, shapes or streams.
        """
        self._frame_check.check_images(images)
        state = self._frame_check.to_vector(STATE_KEY, state)
        action = self._frame_check.to_vector(ACTION_KEY, action)
        if not task.strip():
            raise DatasetError("task: expected an instruction, got an empty text")
        if self._journal is None:
            self.begin_episode()
        if self._failure is not None or self._journal is None:
            raise DatasetError(f"the episode takes no more frames: {self._failure}")
        try:
            with self._dataset_errors("extended"):
                self._journal.add(images, state, action, task, stamp_ns, repeated)
        except DatasetError as error:
            self._failure = str(error)
            raise

    def end_episode(self) -> dict[str, CameraHealth]:
        """Waits until all frames are written; add no more. By camera name. May be called again."""
        return {} if self._journal is None else self._journal.end()

    def save_episode(self, outcome: EpisodeOutcome = _NO_OUTCOME) -> int:
        """Saves the running episode and returns its index. From then on it survives a loss of power.

        Raises DatasetError if it has fewer than two frames (the episode goes on), or if the disk fails. The
        episode still exists then: save it again, or discard it.
        """
        journal = self._journal
        frames = 0 if journal is None else journal.frames
        if journal is not None and frames >= MIN_FRAMES:
            journal.end()
            frames = journal.complete_frames
        if journal is None or frames < MIN_FRAMES:
            raise DatasetError(f"an episode needs at least {MIN_FRAMES} frames, this one has {frames}")
        with self._dataset_errors("extended"):
            journal.save(outcome)
        self._journal = None
        index = self.next_index
        self._committer.add(journal.folder)
        return index

    def discard_episode(self) -> None:
        """Removes the running episode with its frames and videos."""
        journal, self._journal = self._journal, None
        if journal is not None:
            with self._dataset_errors("cleaned up"):
                journal.discard()

    def finalize(self) -> None:
        """Commits all saved episodes and closes the dataset. May be called again.

        A running episode counts as interrupted at the next start. Raises DatasetError if a saved episode
        cannot be committed.
        """
        journal, self._journal = self._journal, None
        with contextlib.ExitStack() as steps:  # last step first; one that fails stops no other
            steps.callback(self._unlock)
            steps.callback(self._committer.close)
            if journal is not None:
                steps.callback(journal.abandon)

    def _unlock(self) -> None:
        self._lock.release()
        with contextlib.suppress(OSError):  # not empty, or removed already
            (self._root / JOURNAL_FOLDER).rmdir()

    def _count_episodes(self) -> int:
        """Number of episodes in the dataset, after the check that new ones fit it."""
        info = inspect_folder(self._root)
        if info is None:
            return 0
        check_compatible(self._root, info, self._spec)
        return int(info["total_episodes"])

    def _recover(self, policy: Recover) -> list[Path]:
        """Keeps, discards or remembers interrupted episodes; returns the saved ones, oldest first."""
        saved, interrupted = find_episodes(self._root)
        self._interrupted = tuple(interrupted) if policy is Recover.ASK else ()
        if policy is Recover.KEEP:
            saved += keep_interrupted(interrupted)
        elif policy is Recover.DISCARD:
            discard_interrupted(interrupted)
        return saved

    @contextlib.contextmanager
    def _dataset_errors(self, verb: str) -> Iterator[None]:
        """Inside, an OSError becomes a DatasetError."""
        try:
            yield
        except OSError as error:
            free = shutil.disk_usage(nearest_existing(self._root)).free
            raise DatasetError(
                f"dataset {self._root} could not be {verb}: {error!r}. Is the disk full "
                f"({free / 1e6:.0f} MB free) or read-only?"
            ) from error
