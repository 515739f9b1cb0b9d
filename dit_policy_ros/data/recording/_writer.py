# SPDX-License-Identifier: Apache-2.0
"""Writes episodes into a LeRobotDataset v3 so that nothing saved is ever lost.

An episode is first a journal of its own in the dataset's folder (see journal). Saving it makes the journal
durable; adding it to LeRobot's files (see commit) can be done in the background, and is made up for at the
next start where it was interrupted.
"""

import contextlib
import math
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.dataset import (
    JOURNAL,
    STREAMS,
    check_place,
    check_same,
    features_of,
    folder_size,
    inspect_folder,
    nearest_existing,
)
from dit_policy_ros.data.durable import make_folders
from dit_policy_ros.data.lock import DatasetLock
from dit_policy_ros.data.quiet import quiet, same_root_logger
from dit_policy_ros.data.recording import _recovery as recovery
from dit_policy_ros.data.recording._committer import Committer
from dit_policy_ros.data.recording._journal import CameraHealth, EpisodeJournal, EpisodeLabel, Layout
from dit_policy_ros.data.recording._recovery import LEAST_FRAMES, Interrupted, Recover
from dit_policy_ros.data.video import CameraImage, VideoSettings

_NO_LABEL = EpisodeLabel()


class DatasetWriter:
    """Appends episodes to a dataset folder, which is created, or extended after checking that it matches.

    Args:
        root: the dataset's folder.
        fps: frames per second, a whole number for LeRobot [Hz].
        cameras: names and sizes of the images.
        joints: names of the entries of state and action.
        robot_type: written into the dataset.
        video: how images are encoded.
        background: whether saved episodes are added to LeRobot's files in a thread of its own.
        recover: what to do with an episode that a crash interrupted.

    Raises:
        DatasetError: the path is a file, another kind of folder, damaged, not writable, in use by another
            recorder, or was recorded with another contract (all differences are listed).
    """

    def __init__(
        self,
        root: Path | str,
        fps: float,
        cameras: Sequence[Camera],
        joints: Sequence[str],
        robot_type: str,
        video: VideoSettings | None = None,
        background: bool = False,
        recover: Recover = Recover.ASK,
    ) -> None:
        self._root = Path(root)
        if not float(fps).is_integer():
            raise DatasetError(
                f"fps: LeRobot datasets have a whole number of frames per second, got {fps:g} Hz"
            )
        self._features = features_of(cameras, joints)
        self._cameras = {camera.name: camera for camera in cameras}
        settings = video or VideoSettings()
        self.jpeg_cameras = frozenset(camera.name for camera in cameras if settings.keeps_jpeg(camera))
        self._journal: EpisodeJournal | None = None
        self._failure: str | None = None  # why the running episode takes no more frames
        check_place(self._root)
        fresh = not recovery.left_behind(self._root)
        if fresh:
            self._check(int(fps), robot_type)  # before anything is created
        with quiet(), same_root_logger():  # importing takes seconds, and must not happen while recording
            import lerobot.datasets  # noqa: F401

            usable = settings.usable()
        streams = (*self._cameras, *STREAMS)
        self._layout = Layout(int(fps), tuple(cameras), tuple(joints), robot_type, streams, usable)
        with self._errors("opened"):
            make_folders(self._root / JOURNAL)
            self._lock = DatasetLock(self._root / JOURNAL / "lock", self._root)
        try:
            with self._errors("recovered"):
                saved = self._recover(recover)
            # What was saved is in the dataset before anything is added, and before the dataset is looked at.
            Committer(self._root, 0, saved, background=False).close()
            committed = self._check(int(fps), robot_type)
            self._committer = Committer(self._root, committed, (), background)
        except BaseException:
            self._lock.release()
            raise

    @property
    def root(self) -> Path:
        """The dataset's folder."""
        return self._root

    @property
    def next_index(self) -> int:
        """Index that the running episode, or the next one, will have."""
        return self._committer.next_index

    @property
    def episode_bytes(self) -> int:
        """Size of the running episode on the disk so far [byte]."""
        journal = self._journal
        return 0 if journal is None else folder_size(journal.folder)

    @property
    def waiting(self) -> int:
        """Saved episodes that are safe, but not in LeRobot's files yet."""
        return self._committer.waiting

    @property
    def commit_failure(self) -> str | None:
        """Why saved episodes are not in LeRobot's files, if that went wrong; they are tried again."""
        return self._committer.failure

    @property
    def interrupted(self) -> tuple[Interrupted, ...]:
        """Episodes that a crash interrupted and that nobody has decided about (`recover` is ask)."""
        return self._interrupted

    def resolve_interrupted(self, keep: bool) -> int:
        """Keeps the interrupted episodes as far as they got, or removes them; returns how many there were."""
        episodes, self._interrupted = self._interrupted, ()
        with self._errors("recovered"):
            if not keep:
                recovery.discard(episodes)
            else:
                for folder in recovery.keep(episodes):
                    self._committer.add(folder)
        return len(episodes)

    def begin_episode(self) -> None:
        """Begins an episode, so that the first frame does not wait.

        Raises DatasetError if one is running or interrupted ones wait for a decision.
        """
        if self._journal is not None:
            raise DatasetError("an episode is running already")
        if self._interrupted:
            waiting = listing(map(str, self._interrupted))
            raise DatasetError(f"interrupted episodes wait to be kept or discarded: {waiting}")
        self._failure = None
        with self._errors("extended"):
            self._journal = EpisodeJournal(recovery.next_folder(self._root), self._layout)

    def add_frame(
        self,
        images: Mapping[str, CameraImage],
        state: np.ndarray,
        action: np.ndarray,
        task: str,
        stamp_ns: int = 0,
        repeated: Collection[str] = (),
    ) -> None:
        """Appends a frame to the running episode; begins one if none runs. See EpisodeSink.

        Raises DatasetError: not finite, no task, or writing failed; then the episode takes no more frames.
        ValueError: wrong cameras, shapes or streams.
        """
        self._check_images(images)
        state = self._checked(STATE_KEY, state)
        action = self._checked(ACTION_KEY, action)
        if not task.strip():
            raise DatasetError("task: expected an instruction, got an empty text")
        if self._journal is None:
            self.begin_episode()
        if self._failure is not None or self._journal is None:
            raise DatasetError(f"the episode takes no more frames: {self._failure}")
        try:
            with self._errors("extended"):
                self._journal.add(images, state, action, task, stamp_ns, repeated)
        except DatasetError as error:
            self._failure = str(error)
            raise

    def end_episode(self) -> dict[str, CameraHealth]:
        """No more frames come; waits until all are written. By camera name; may be called again."""
        return {} if self._journal is None else self._journal.end()

    def save_episode(self, label: EpisodeLabel = _NO_LABEL) -> int:
        """Keeps the running episode and returns its index; it survives whatever comes when this returns.

        Raises DatasetError if there are fewer than two frames (the episode goes on) or the disk fails. The
        episode is still there then: save it again, or discard it.
        """
        journal = self._journal
        frames = 0 if journal is None else journal.frames
        if journal is not None and frames >= LEAST_FRAMES:
            journal.end()
            frames = journal.complete_frames
        if journal is None or frames < LEAST_FRAMES:
            raise DatasetError(f"an episode needs at least {LEAST_FRAMES} frames, this one has {frames}")
        with self._errors("extended"):
            journal.save(label)
        self._journal = None
        index = self.next_index
        self._committer.add(journal.folder)
        return index

    def discard_episode(self) -> None:
        """Forgets the running episode, its frames and its half-encoded videos."""
        journal, self._journal = self._journal, None
        if journal is not None:
            with self._errors("cleaned up"):
                journal.discard()

    def finalize(self) -> None:
        """Adds all saved episodes to the dataset and closes it. May be called again.

        A running episode is left as if the process had ended. Raises DatasetError if a saved one cannot be
        added.
        """
        journal, self._journal = self._journal, None
        try:
            if journal is not None:
                journal.abandon()
            self._committer.close()
        finally:
            self._lock.release()
            with contextlib.suppress(OSError):  # it is not empty, or gone already
                (self._root / JOURNAL).rmdir()

    def _check(self, fps: int, robot_type: str) -> int:
        """The number of episodes of a dataset that can be extended."""
        info = inspect_folder(self._root)
        if info is None:
            return 0
        check_same(self._root, info, fps, robot_type, self._features)
        return int(info["total_episodes"])

    def _recover(self, policy: Recover) -> list[Path]:
        """Decides about interrupted episodes; returns the saved ones, oldest first."""
        saved, interrupted = recovery.examine(self._root)
        self._interrupted = tuple(interrupted) if policy is Recover.ASK else ()
        if policy is Recover.KEEP:
            saved += recovery.keep(interrupted)
        elif policy is Recover.DISCARD:
            recovery.discard(interrupted)
        return saved

    @contextlib.contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        """Whatever the system raises becomes a DatasetError."""
        try:
            yield
        except OSError as error:
            free = shutil.disk_usage(nearest_existing(self._root)).free
            raise DatasetError(
                f"dataset {self._root} could not be {verb}: {error!r}. Is the disk full "
                f"({free / 1e6:.0f} MB free) or read-only?"
            ) from error

    def _check_images(self, images: Mapping[str, CameraImage]) -> None:
        if images.keys() != self._cameras.keys():
            raise ValueError(f"cameras: expected {listing(self._cameras)}, got {listing(images)}")
        for name, camera in self._cameras.items():
            image, expected = images[name], (camera.height, camera.width, 3)
            if isinstance(image, bytes) != (name in self.jpeg_cameras):
                wanted = "the bytes of a JPEG" if name in self.jpeg_cameras else f"uint8 {expected}"
                raise ValueError(f"{name}: expected {wanted}, got {type(image).__name__}")
            if not isinstance(image, bytes) and (image.shape != expected or image.dtype != np.uint8):
                raise ValueError(f"{name}: expected uint8 {expected}, got {image.dtype} {image.shape}")

    def _checked(self, name: str, values: np.ndarray) -> np.ndarray:
        vector = np.asarray(values, dtype=np.float32)  # (D,)
        feature = self._features[name]
        if vector.shape != feature["shape"]:
            raise ValueError(f"{name}: expected shape {feature['shape']}, got {vector.shape}")
        pairs = zip(feature["names"], vector.tolist(), strict=True)
        bad = [f"{joint} = {value}" for joint, value in pairs if not math.isfinite(value)]
        if bad:
            raise DatasetError(f"{name}: expected finite values, got {listing(bad)}")
        return vector
