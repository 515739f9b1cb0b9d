# SPDX-License-Identifier: Apache-2.0
"""The episodes of the dataset that the recorder writes: the last ones with a picture, and counts of tasks."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import DitPolicyError

LAST = 10  # episodes that are shown
_WIDTH = 160  # [pixel] of a thumbnail


@dataclass(frozen=True, slots=True)
class SavedEpisode:
    """label: the operator's; None without one. reasons: why the check failed."""

    index: int
    task: str
    seconds: float
    label: bool | None
    passed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shelf:
    """newest: the last episodes, newest first. done: good episodes by task. thumbnails: JPEG by index.

    generation: of the indices, see ``DatasetEdits``.
    """

    newest: tuple[SavedEpisode, ...] = ()
    done: dict[str, int] | None = None
    thumbnails: dict[int, bytes] | None = None
    problem: str = ""
    generation: int = 0


class EpisodeShelf:
    """Reads the dataset in a thread of its own, whenever it has changed.

    Attributes:
        shelf: what was read last.
    """

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say
        self._read_key: Any = None
        self._busy = threading.Lock()
        self.shelf = Shelf()

    def refresh(self, dataset: str, generation: int = 0) -> None:
        """Read the dataset in this folder if it has changed since the last call."""
        root = Path(dataset)
        info, table = root / "meta" / "info.json", root / "meta" / "recorder.jsonl"
        key = (dataset, generation, *(_version(path) for path in (info, table)))
        if not dataset or not info.is_file() or key == self._read_key or self._busy.locked():
            return
        self._busy.acquire()
        self._read_key = key
        threading.Thread(target=self._read, args=(root, generation), name="episodes", daemon=True).start()

    def forget(self) -> None:
        """Read again, whether the dataset has changed or not."""
        self._read_key = None

    def _read(self, root: Path, generation: int) -> None:
        try:
            self.shelf = replace(read_shelf(root), generation=generation)
        except (DitPolicyError, OSError) as error:
            self.shelf = Shelf(problem=str(error))
        finally:
            self._busy.release()


def _version(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def read_shelf(root: Path) -> Shelf:
    """The last episodes and the counts of a dataset. Raises DatasetError."""
    from dit_policy_ros.data.dataset import episode_rows, task_counts

    rows = episode_rows(root)
    newest = []
    for row in reversed(rows[-LAST:]):
        record = row.record
        passed, reasons = (True, ()) if record is None else (record.passed, tuple(record.reasons))
        label = None if record is None else record.success
        newest.append(SavedEpisode(row.index, "; ".join(row.tasks), row.seconds, label, passed, reasons))
    done = {task: count.good for task, count in task_counts(rows).items()}
    pictures = {each.index: _thumbnail(root, each.index) for each in newest}
    return Shelf(tuple(newest), done, {index: jpeg for index, jpeg in pictures.items() if jpeg})


def _thumbnail(root: Path, index: int) -> bytes:
    """First image of an episode's first camera; empty if it has none that can be read."""
    import av
    import cv2

    place = _video_place(root, index)
    if place is None:
        return b""
    path, start = place
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            container.seek(round(start / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time is None or frame.time >= start - 1e-3:
                    image = frame.to_ndarray(format="bgr24")  # (H, W, 3)
                    height = max(1, round(image.shape[0] * _WIDTH / image.shape[1]))
                    small = cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA)
                    return cv2.imencode(".jpg", small)[1].tobytes()
    except (OSError, av.FFmpegError, IndexError):
        pass  # a picture is an extra
    return b""


def _video_place(root: Path, index: int) -> tuple[Path, float] | None:
    """File and time [s] at which an episode's first camera begins; None if it lies outside the dataset."""
    import pyarrow.parquet as pq

    from dit_policy_ros.data.dataset import read_info

    info = read_info(root)
    keys = sorted(name for name, each in info["features"].items() if each["dtype"] == "video")
    if not keys:
        return None
    names = [f"videos/{keys[0]}/{part}" for part in ("chunk_index", "file_index", "from_timestamp")]
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet"), reverse=True):
        if not set(names) <= set(pq.read_schema(path).names):
            return None
        for row in pq.read_table(path, columns=["episode_index", *names]).to_pylist():
            if row["episode_index"] == index:
                place = {"chunk_index": row[names[0]], "file_index": row[names[1]], "video_key": keys[0]}
                video = (root / info["video_path"].format(**place)).resolve()
                inside = video.is_relative_to(root.resolve())
                return (video, float(row[names[2]])) if inside else None
    return None
