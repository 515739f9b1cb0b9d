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
from types import MappingProxyType

import numpy as np

from dit_policy_ros.core.atomic_files import make_folders
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording import CONTROL
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
from dit_policy_ros.data.recording._file_system import check_file_system
from dit_policy_ros.data.recording._frame_check import FrameCheck
from dit_policy_ros.data.recording._journal_format import (
    MIN_FRAMES,
    EndedEpisode,
    EpisodeOutcome,
    JournalHeader,
)
from dit_policy_ros.data.recording._journal_writer import JournalWriter
from dit_policy_ros.data.recording._naming import Naming
from dit_policy_ros.data.recording._quarantine import Quarantined, quarantined_episodes, tidy
from dit_policy_ros.data.recording._recovery import (
    Interrupted,
    Recover,
    discard_interrupted,
    find_episodes,
    keep_interrupted,
    next_journal,
    pending_episodes,
)
from dit_policy_ros.data.recording._relabel import write_labels, write_task
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
        naming: the robot's names and units, where those of ``spec`` are others; None if they are not.

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
        naming: Naming | None = None,
    ) -> None:
        self._root = Path(root)
        self._spec, self._naming = spec, naming
        settings = video or VideoSettings()
        kept = frozenset(camera.name for camera in spec.cameras if settings.keeps_jpeg(camera))
        own = {} if naming is None else {name: robot for robot, name in naming.sources.items()}
        self.jpeg_cameras = frozenset(own.get(name, name) for name in kept)
        sources = (*spec.cameras, *spec.vectors)
        streams = (*(source.name for source in sources), *VECTOR_STREAMS)
        streams += (CONTROL,) if spec.control else ()
        self._frame_check = FrameCheck(spec, kept, streams)
        self._journal: JournalWriter | None = None
        self._failure: str | None = None  # why the running episode takes no more frames
        check_writable(self._root)
        if not pending_episodes(self._root):
            self._count_episodes()  # raises before anything is created
        with quiet_lerobot(), preserve_root_logger():
            import lerobot.datasets  # noqa: F401 - takes seconds, so not while recording

            settings = settings.with_working_codec(spec.cameras)
        self._header = JournalHeader(spec, streams, settings)
        with self._dataset_errors("opened"):
            make_folders(self._root / JOURNAL_FOLDER)
            self._lock = DatasetLock(self._root / JOURNAL_FOLDER / "lock", self._root)
        try:
            check_file_system(self._root)
            with self._dataset_errors("recovered"):
                saved = self._recover(recover)
            # Commit what is saved before the dataset is checked and before new episodes are added.
            Committer(self._root, 0, saved, background=False).close()
            self._committer = Committer(
                self._root, self._count_episodes(), (), background, quarantined_episodes(self._root)
            )
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
    def queued_images(self) -> int:
        """Images of the running episode that wait for the encoder of the camera that has most of them."""
        journal = self._journal
        return 0 if journal is None else journal.queued_images

    @property
    def pending_commits(self) -> int:
        """Number of saved episodes that are safe, but not in LeRobot's files yet."""
        return self._committer.pending

    @property
    def commit_failure(self) -> str | None:
        """Why a saved episode could not be committed, or None; it is tried again."""
        return self._committer.failure

    @property
    def quarantined(self) -> tuple[Quarantined, ...]:
        """Episodes that cannot be added to the dataset and were set aside, so that they block no other."""
        return self._committer.quarantined

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
        vectors: Mapping[str, np.ndarray] = MappingProxyType({}),
        controller: str | None = None,
    ) -> None:
        """Appends a frame to the running episode; begins an episode if none runs. See EpisodeSink.

        Raises:
            DatasetError: a value is not finite, the task is empty, or writing failed. After a failed write
                the episode takes no more frames.
            ValueError: wrong cameras, vectors, shapes or streams.
        """
        if (naming := self._naming) is not None:
            images, vectors = naming.images(images), naming.vectors(vectors)
            state, action, repeated = naming.entries(state), naming.entries(action), naming.streams(repeated)
        self._frame_check.check_images(images)
        state = self._frame_check.to_vector(STATE_KEY, state)
        action = self._frame_check.to_vector(ACTION_KEY, action)
        vectors = self._frame_check.to_vectors(vectors)
        control = self._frame_check.to_control(controller)
        self._frame_check.check_text(task, repeated)
        if self._journal is None:
            self.begin_episode()
        if self._failure is not None or self._journal is None:
            raise DatasetError(f"the episode takes no more frames: {self._failure}")
        try:
            with self._dataset_errors("extended"):
                self._journal.add(
                    images, (state, action, *vectors.values(), *control), task, stamp_ns, repeated
                )
        except Exception as error:  # whatever it was: some images may be queued, without their vectors
            self._failure = str(error)
            raise

    def relabel(self, index: int, success: bool | None, task: str) -> None:
        """Changes the label, the instruction or both of an episode that is in the dataset.

        Args:
            index: of the episode.
            success: the label; None leaves it.
            task: the instruction; an empty one leaves it.

        Raises:
            DatasetError: the episode does not exist or is still being added, or a file cannot be written.
        """
        if self._committer.pending:
            raise DatasetError("saved episodes are being added to the dataset: try again in a moment")
        with self._dataset_errors("labelled"):
            if success is not None:
                write_labels(self._root.absolute(), {index: success})
            if task:
                write_task(self._root.absolute(), index, task)

    def end_episode(self) -> EndedEpisode:
        """Waits until all frames are written, and counts them; add no more. May be called again."""
        if self._journal is None:
            return EndedEpisode(0, {})
        return self._journal.end()

    def save_episode(self, outcome: EpisodeOutcome = _NO_OUTCOME) -> int:
        """Saves the running episode and returns its index. From then on it survives a loss of power.

        What is saved are the frames that are in the files (`end_episode` says how many). If others were added
        and lost, because an encoder failed, the episode is saved as one that failed its check.

        Raises DatasetError if it has fewer than two frames (the episode goes on), or if the disk fails. The
        episode still exists then: save it again, or discard it.
        """
        journal = self._journal
        frames, failure = 0 if journal is None else journal.frames, self._failure
        if journal is not None and (frames >= MIN_FRAMES or failure):
            ended = self.end_episode()
            frames, failure = ended.frames, ended.failure or failure
        if journal is None or frames < MIN_FRAMES:
            because = f": {failure}" if failure else ""
            raise DatasetError(
                f"an episode needs at least {MIN_FRAMES} frames, this one has {frames}{because}"
            )
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
        tidy(self._root)

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
