# SPDX-License-Identifier: Apache-2.0
"""A recorded bag: its topics and messages, and what to do if it cannot be read."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.ros.bags._unknown_types import unknown_types_are_read_over

_FILES = (".mcap", ".db3")


class Bag:
    """A rosbag2 (MCAP or SQLite), read from the beginning. Use it as a context manager.

    Only the types of the topics that are read must be known here. Raises DatasetError if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        from rosbags.rosbag2 import Reader

        self.path = path
        try:
            self._reader = Reader(path)
            with unknown_types_are_read_over():
                self._reader.open()
        except Exception as error:  # a damaged file fails anywhere in the library
            raise DatasetError(f"bag {path} cannot be read: {_problem(path, error)}") from error
        self._files = _files(self._reader)
        self._begin_ns, self._end_ns = _times(self._reader)

    def __enter__(self) -> "Bag":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    @property
    def begin_ns(self) -> int:
        """Time of receipt of the first message [ns]."""
        return self._begin_ns

    @property
    def end_ns(self) -> int:
        """Time of receipt of the last message [ns]."""
        return self._end_ns

    @property
    def topics(self) -> dict[str, str]:
        """The type of each topic, as `package/msg/Name`; several, if it has several, with " and "."""
        kinds: dict[str, list[str]] = {}
        for connection in self._reader.connections:
            known = kinds.setdefault(connection.topic, [])
            if connection.msgtype not in known:
                known.append(connection.msgtype)
        return {topic: " and ".join(names) for topic, names in kinds.items()}

    def count(self, topics: Iterable[str]) -> int:
        """Number of messages on some topics."""
        wanted = set(topics)
        return sum(c.msgcount for file in self._files for c in file.connections if c.topic in wanted)

    def messages(
        self,
        kinds: Mapping[str, type],
        refuse: Callable[[str, int, str], None] = lambda topic, received_ns, reason: None,
    ) -> Iterator[tuple[str, int, Any]]:
        """Topic, time of receipt [ns] and message, in the order of receipt, of the topics in `kinds`.

        A message that cannot be read is left out; `refuse` is called with its topic, time and what is wrong.
        Raises DatasetError if the bag is damaged from some place on.
        """
        connections = [c for c in self._reader.connections if c.topic in kinds]
        if not connections:
            return
        messages, received_ns = self._reader.messages(connections), self.begin_ns
        while True:
            try:
                connection, received_ns, raw = next(messages)
            except StopIteration:
                return
            except Exception as error:  # a damaged file fails anywhere in the library
                after = (received_ns - self.begin_ns) * 1e-9  # [s]
                raise DatasetError(
                    f"bag {self.path} is damaged {after:.1f} s after its beginning: {error!r}. "
                    f"{_recovery(self.path)}"
                ) from error
            topic = connection.topic
            try:
                message = deserialize_message(bytes(raw), kinds[topic])
            except Exception as error:  # noqa: BLE001 - whatever rclpy makes of bytes that are no message
                refuse(topic, received_ns, f"a message of {len(raw)} bytes is not whole: {error}")
                continue
            yield topic, received_ns, message


def _files(reader: Any) -> list[Any]:
    """The readers of the bag's files. What they say was counted; metadata.yaml may say anything."""
    return getattr(reader.storage, "storages", None) or [reader]  # private; a single file is the reader's


def _times(reader: Any) -> tuple[int, int]:
    """When the first and the last message were received [ns], as the bag's files say.

    metadata.yaml has these times, too, but not always the same ones: of a bag that was cut, joined or edited
    it may be anything, and every episode would be cut out at another place.
    """
    found = [file.metadata if hasattr(file, "metadata") else file for file in _files(reader)]
    begins = [int(each.start_time) for each in found if each.message_count]
    ends = [int(each.end_time) for each in found if each.message_count]
    if not begins:
        return int(reader.start_time), int(reader.end_time)
    return min(begins), max(ends)


def _problem(path: Path, error: Exception) -> str:
    """What is wrong with a bag that cannot be opened, and what to do."""
    if not path.exists():
        return "there is no such file or folder"
    if path.is_dir():
        metadata = path / "metadata.yaml"
        if not metadata.is_file():
            return f"it has no metadata.yaml, which is written when recording ends. {_recovery(path)}"
        with contextlib.suppress(OSError):
            content = metadata.read_bytes()
            if b"\0" in content or b"rosbag2_bagfile_information" not in content:
                return f"its metadata.yaml is damaged. {_recovery(path)}"
        return f"{error}. {_recovery(path)}"
    if path.suffix in (".zstd", ".zst"):
        return f"it is compressed. Give the bag's folder with its metadata.yaml, or call: unzstd {path}"
    if path.suffix not in _FILES:
        return f"expected a bag's folder, or a file {' or '.join(_FILES)}"
    return f"{error}. {_recovery(path)}"


def _recovery(path: Path) -> str:
    """How to make a bag readable that was not closed."""
    if path.suffix == ".mcap":
        return f"If the recording was cut off: mcap recover {path} -o whole.mcap"
    if path.suffix == ".db3":
        return f"If the recording was cut off: ros2 bag reindex {path.parent}"
    files = sorted(file for file in path.glob("*") if file.suffix in _FILES) if path.is_dir() else []
    alone = f", or give its file alone: {files[0]}" if len(files) == 1 else ""
    return f"Write it anew: ros2 bag reindex {path}{alone}"


def absolute(topic: str, namespace: str = "") -> str:
    """A topic's full name, as in a bag."""
    if topic.startswith("/"):
        return topic
    return "/" + "/".join(part for part in (namespace.strip("/"), topic) if part)
