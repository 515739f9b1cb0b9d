# SPDX-License-Identifier: Apache-2.0
"""Converts episodes of a recorded bag with the code of the live recorder.

The bag's messages go through the recorder's streams in the order of receipt, with a clock that shows the time
of receipt. So the dataset is what the recorder would have written live.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording import CheckThresholds, EpisodeCheck
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.ros.bags._bag import Bag, absolute
from dit_policy_ros.ros.bags._converted_episode import TAIL, ConvertedEpisode
from dit_policy_ros.ros.bags._playback import Input, Playback
from dit_policy_ros.ros.bags._segment import Converted, Segment
from dit_policy_ros.ros.recorder import ActionSettings, RecorderStreams


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

        Segments must be in order and must not overlap. The last frames of one may come when the next has
        begun already: messages arrive later than they were stamped. `progress` is called with the number of
        messages read. Raises DatasetError if the dataset cannot be written, or the bag is damaged. A segment
        that cannot be sampled is skipped, and its result has the problem.
        """
        playback, streams = self._subscribe(dataset.jpeg_cameras)
        callbacks: dict[str, list[Callable[[Any], None]]] = {}
        kinds: dict[str, type] = {}
        for needed in playback.inputs:
            topic = absolute(needed.topic, self.namespace)
            kinds[topic] = needed.kind
            callbacks.setdefault(topic, []).append(needed.callback)

        def refuse(topic: str, received_ns: int, reason: str) -> None:
            playback.now_ns = received_ns
            streams.refuse(lambda own: absolute(own, self.namespace) == topic, reason)

        waiting = list(segments)
        running: list[ConvertedEpisode] = []  # the first one is being written; the others wait for it
        for done, (topic, received_ns, message) in enumerate(bag.messages(kinds, refuse)):
            while waiting and received_ns >= waiting[0].start_ns:
                running.append(ConvertedEpisode(self.contract, waiting.pop(0), playback, streams, dataset))
            for episode in running:
                episode.advance(received_ns)
            while running and running[0].is_over(received_ns):
                yield running.pop(0).finish(bag, self.thresholds)
            playback.now_ns = received_ns
            for callback in callbacks[topic]:
                callback(message)
            progress(done + 1)
        for episode in running:
            episode.advance(bag.end_ns + round(TAIL * NANOSECONDS))
        for episode in running:
            yield episode.finish(bag, self.thresholds)
        for segment in waiting:
            problem = segment.problem or "it begins after the bag's last message"
            yield Converted(segment, -1, EpisodeCheck(), 0, problem)

    def _subscribe(self, jpeg_cameras: Collection[str] = ()) -> tuple[Playback, RecorderStreams]:
        playback: Any = Playback(self.report)
        return playback, RecorderStreams(playback, self.contract, self.action, jpeg_cameras)
