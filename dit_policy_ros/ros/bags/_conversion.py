# SPDX-License-Identifier: Apache-2.0
"""Converts episodes of a recorded bag with the code of the live recorder.

The bag's messages go through the recorder's streams in the order of receipt, with a clock that shows the time
of receipt. So the dataset is what the recorder would have written live.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import DatasetError, DitPolicyError, StreamError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording import CheckThresholds, EpisodeCheck, EpisodeFrame, EpisodeSampler
from dit_policy_ros.core.sensing import LATE_SAMPLE_TIMEOUT
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.ros.bags._playback import Input, Playback
from dit_policy_ros.ros.recorder import ActionSettings, RecorderStreams, Recording, recorded_images

_TAIL = 2.0 * LATE_SAMPLE_TIMEOUT  # [s] after an episode; messages may still belong to its last frames


@dataclass(frozen=True, slots=True)
class Segment:
    """An episode in a bag, between two times of receipt [ns].

    changes: later instructions with their start times [ns], in order.
    """

    start_ns: int
    stop_ns: int
    task: str
    success: bool | None = None
    changes: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Converted:
    """The result of one segment: the episode's index, or the problem."""

    segment: Segment
    episode_index: int
    check: EpisodeCheck
    frames: int
    problem: str = ""


class Bag:
    """A rosbag2 (MCAP or SQLite), read from the beginning. Use it as a context manager.

    Raises DatasetError if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        from rosbags.highlevel import AnyReader, AnyReaderError
        from rosbags.typesys import Stores, get_typestore

        self.path = path
        try:
            self._reader = AnyReader([path], default_typestore=get_typestore(Stores.LATEST))
            self._reader.open()
        except (AnyReaderError, OSError, ValueError) as error:
            raise DatasetError(f"bag {path} cannot be read: {error}") from error
        except KeyError as error:  # rosbags knows only its own encodings of message definitions
            raise DatasetError(
                f"bag {path} cannot be read: it describes a message type in the encoding {error}, which is "
                "not supported. Convert it to MCAP (ros2 bag convert), or record it without that topic"
            ) from error

    def __enter__(self) -> "Bag":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    @property
    def begin_ns(self) -> int:
        """Time of receipt of the first message [ns]."""
        return int(self._reader.start_time)

    @property
    def end_ns(self) -> int:
        """Time of receipt of the last message [ns]."""
        return int(self._reader.end_time)

    @property
    def topics(self) -> dict[str, str]:
        """The type of each topic, as `package/msg/Name`."""
        return {connection.topic: connection.msgtype for connection in self._reader.connections}

    def count(self, topics: Iterable[str]) -> int:
        """Number of messages on some topics."""
        wanted = set(topics)
        return sum(c.msgcount for c in self._reader.connections if c.topic in wanted)

    def messages(self, kinds: Mapping[str, type]) -> Iterator[tuple[str, int, Any]]:
        """Topic, time of receipt [ns] and message, in the order of receipt, of the topics in `kinds`."""
        connections = [c for c in self._reader.connections if c.topic in kinds]
        for connection, received_ns, raw in self._reader.messages(connections):
            yield connection.topic, received_ns, deserialize_message(bytes(raw), kinds[connection.topic])


def absolute(topic: str, namespace: str = "") -> str:
    """A topic's full name, as in a bag."""
    if topic.startswith("/"):
        return topic
    return "/" + "/".join(part for part in (namespace.strip("/"), topic) if part)


@dataclass(slots=True)
class _DirectWriter:
    """Writes decoded frames into the dataset without a thread; the counterpart of EpisodeWriter."""

    dataset: DatasetWriter
    contract: Contract
    failure: str | None = None
    frames: int = 0

    def put(self, frame: EpisodeFrame, task: str) -> bool:
        """Takes a frame; see FrameWriter."""
        if self.failure is not None:
            return True
        try:
            images = recorded_images(frame, self.contract.cameras, self.dataset.jpeg_cameras)
            self.dataset.add_frame(images, frame.state, frame.action, task, frame.stamp_ns, frame.repeated)
            self.frames += 1
        except StreamError as error:
            self.failure = str(error)
        return True


@dataclass(slots=True)
class BagConverter:
    """Converts the segments of a bag.

    Args:
        contract, action: the same as for the recorder.
        thresholds: of the quality check.
        namespace: of the robot's topics.
        report: called with the reason when a message cannot be used.
    """

    contract: Contract
    action: ActionSettings
    thresholds: CheckThresholds = field(default_factory=CheckThresholds)
    namespace: str = ""
    report: Callable[[str], None] = print

    def inputs(self) -> list[Input]:
        """The topics that the conversion needs."""
        return self._subscribe()[0].inputs

    def check_topics(self, bag: Bag) -> None:
        """Raises DatasetError that lists the missing topics and those of the bag."""
        has = bag.topics
        missing = []
        for needed in self.inputs():
            topic = absolute(needed.topic, self.namespace)
            wanted = f"{needed.kind.__module__.split('.')[0]}/msg/{needed.kind.__name__}"
            if topic not in has:
                missing.append(f"{topic} ({wanted}) is not in it")
            elif has[topic] != wanted:
                missing.append(f"{topic} is {has[topic]}, expected {wanted}")
        if missing:
            topics = listing(f"{name} ({kind})" for name, kind in sorted(has.items()))
            raise DatasetError("\n  - ".join([f"bag {bag.path}:", *missing]) + f"\nIt has: {topics}")

    def convert(
        self,
        bag: Bag,
        segments: Sequence[Segment],
        dataset: DatasetWriter,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Iterator[Converted]:
        """Writes each segment as an episode, in one pass through the bag.

        Segments must be in order and must not overlap. `progress` is called with the number of messages read.
        Raises DatasetError if the dataset cannot be written. A segment that cannot be sampled is skipped, and
        its result has the problem.
        """
        playback, streams = self._subscribe()
        callbacks: dict[str, list[Callable[[Any], None]]] = {}
        kinds: dict[str, type] = {}
        for needed in playback.inputs:
            topic = absolute(needed.topic, self.namespace)
            kinds[topic] = needed.kind
            callbacks.setdefault(topic, []).append(needed.callback)
        waiting = list(segments)
        episode: _Episode | None = None
        for done, (topic, received_ns, message) in enumerate(bag.messages(kinds)):
            if episode is None and waiting and received_ns >= waiting[0].start_ns:
                playback.now_ns = waiting[0].start_ns
                episode = _Episode(self, waiting.pop(0), playback, streams, dataset)
            if episode is not None:
                episode.advance(received_ns)
                if episode.is_over(received_ns):
                    yield episode.finish(bag)
                    episode = None
            playback.now_ns = received_ns
            for callback in callbacks[topic]:
                callback(message)
            progress(done + 1)
        if episode is not None:
            episode.advance(bag.end_ns + round(_TAIL * NANOSECONDS))
            yield episode.finish(bag)
        for segment in waiting:
            yield Converted(segment, -1, EpisodeCheck(), 0, "it begins after the bag's last message")

    def _subscribe(self) -> tuple[Playback, RecorderStreams]:
        playback: Any = Playback(self.report)
        return playback, RecorderStreams(playback, self.contract, self.action)


class _Episode:
    """A segment during its conversion. It samples at the times at which the recorder's timer would."""

    def __init__(
        self,
        converter: BagConverter,
        segment: Segment,
        playback: Playback,
        streams: RecorderStreams,
        dataset: DatasetWriter,
    ) -> None:
        self.segment = segment
        self._converter = converter
        self._playback = playback
        self._dataset = dataset
        self._next_ns = segment.start_ns
        self._recording: Recording | None = None
        self._problem = ""
        contract = converter.contract
        self._writer = _DirectWriter(dataset, contract)
        try:
            problems = streams.problems()
            if problems:
                raise DitPolicyError("; ".join(problems.values()))
            sampler = EpisodeSampler(contract, streams.observations, streams.actions, segment.start_ns)
        except DitPolicyError as error:
            self._problem = str(error)
            return
        length = (segment.stop_ns - sampler.first_stamp_ns) / NANOSECONDS  # [s]
        self._recording = Recording(
            segment.task, contract, sampler=sampler, writer=self._writer, max_length=length
        )
        for when_ns, task in segment.changes:
            self._recording.set_task(task, when_ns)

    def advance(self, until_ns: int) -> None:
        """Advance the clock to a time [ns], in the recorder's steps."""
        step_ns = self._converter.contract.dt_ns // 2
        while self._recording is not None and self._next_ns < until_ns:
            self._playback.now_ns = self._next_ns
            self._recording.tick(self._next_ns)
            self._next_ns += step_ns

    def is_over(self, now_ns: int) -> bool:
        """Whether no more frames can follow."""
        stopped = self._recording is None or self._recording.stopped is not None
        return stopped or now_ns > self.segment.stop_ns + round(_TAIL * NANOSECONDS)

    def finish(self, bag: Bag) -> Converted:
        """Save the episode, if it has frames."""
        recording, segment = self._recording, self.segment
        if recording is None:
            return Converted(segment, -1, EpisodeCheck(), 0, self._problem)
        if self._writer.frames < 2:
            self._dataset.discard_episode()
            reason = recording.stopped or self._writer.failure or "it has fewer than 2 frames"
            return Converted(segment, -1, EpisodeCheck(), 0, reason)
        recording.health = self._dataset.end_episode()
        check = recording.check(self._converter.thresholds)
        source = source_of(bag.path, segment)
        index = self._dataset.save_episode(recording.outcome(segment.success, check, source))
        return Converted(segment, index, check, self._writer.frames)


def source_of(path: Path, segment: Segment) -> dict[str, Any]:
    """The entry of the side table that says where an episode comes from."""
    return {"bag": path.name, "bag_start_ns": segment.start_ns}
