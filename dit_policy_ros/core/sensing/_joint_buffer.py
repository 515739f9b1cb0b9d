# SPDX-License-Identifier: Apache-2.0
"""The joint positions of a robot, which come in one message or in several.

One driver publishes all joints; on another robot each arm and each gripper has its own, on one topic or on
several. So the joints are divided into parts, by what the messages have shown: those of a part always come
together. Each part is a stream of its own with its own stamps, rate and age. A pose at a time is interpolated
in each part between its own samples, and is as old as the oldest part.

Shapes: A joints, M of one message.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn
from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.problems import did_you_mean, listing
from dit_policy_ros.core.sensing._streams import (
    DroppedSample,
    Sample,
    StreamBuffer,
    StreamCounters,
    StreamSettings,
)

Pose = NDArray[np.float64]

_SHOWN = 20  # names in a message


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Joints that come together: their indices (M,), ascending, their names, and their samples (M,)."""

    joints: NDArray[np.intp]
    names: tuple[str, ...]
    stream: StreamBuffer[Pose]


class JointBuffer(StreamBuffer[Pose]):
    """Like a StreamBuffer of poses (A,), but a message may have some of the joints only. Thread-safe.

    Counts: a pose counts as accepted when the joint with the fewest samples has one more.

    Args:
        settings: of each joint's stream.
        joints: all names, in the order of a pose.
        continuous: joints that turn without end, (A,) bool; none by default.
        configured_in: the group that has the topics and their prefixes, for messages.
    """

    def __init__(
        self,
        settings: StreamSettings,
        joints: Sequence[str],
        continuous: NDArray[np.bool_] | None = None,
        configured_in: str = "joint_states",
    ) -> None:
        super().__init__(settings)
        self._configured_in = configured_in
        self.joints = tuple(joints)
        self._continuous = np.zeros(len(joints), bool) if continuous is None else continuous  # (A,)
        self._all = tuple(range(len(joints)))
        self._parts: tuple[Part, ...] = ()
        self._routes: dict[tuple[int, ...], list[tuple[Part, NDArray[np.intp]]]] = {}
        self._routing = threading.Lock()
        self._topics: dict[int, str] = {}  # by joint, the topic that it comes on
        self._conflict, self._conflict_ns = "", 0
        self._others: tuple[str, ...] = ()  # names in the last message that are none of the joints
        self._others_since_ns: int | None = None  # when the first such message came

    # --- adding --------------------------------------------------------------------------------------------

    def push(self, stamp_ns: int, value: Pose, now_ns: int | None = None) -> bool:
        """Adds a pose (A,) of all joints; see StreamBuffer."""
        return self.push_some(stamp_ns, self._all, value, now_ns)

    def push_some(
        self, stamp_ns: int, joints: tuple[int, ...], values: Pose, now_ns: int | None = None, topic: str = ""
    ) -> bool:
        """Adds some joints' positions; False if they were dropped.

        Args:
            stamp_ns: their stamp [ns].
            joints: their indices (M,), ascending.
            values: their positions (M,) [rad or m].
            now_ns: present time by our clock [ns]; None does not check for stamps in the future.
            topic: where they come from, if there are several.

        Raises:
            StreamError: a joint comes on another topic, too. The caller refuses the message.
        """
        if topic and (conflict := self._conflict_of(joints, topic)):
            self._conflict, self._conflict_ns = conflict, now_ns or stamp_ns
            raise StreamError(conflict)
        if now_ns is not None and len(self._parts) > 1:
            self.drop_if_clock_set_back(now_ns)
        route = self._routes.get(joints) or self._route(joints)
        pushed = [part.stream.push(stamp_ns, values[columns], now_ns) for part, columns in route]
        return any(pushed)

    def note_others(self, names: tuple[str, ...], now_ns: int) -> bool:
        """Remember names in a message at `now_ns` [ns] that are no joints, to say so if a joint is missing.

        Returns whether all joints should have come by now: the first such message came max_age [s] ago.
        """
        self._others = names
        if self._others_since_ns is None or now_ns < self._others_since_ns:
            self._others_since_ns = now_ns
        return now_ns - self._others_since_ns > self.max_age * NANOSECONDS

    def discard(self, value: Pose, reason: str) -> None:
        """Not for poses, which are checked before they are added."""
        raise ValueError("a pose cannot be discarded")

    def clear(self) -> None:
        """Drops all samples and keeps the counters."""
        self._pull()
        for part in self._parts:
            part.stream.clear()

    def drop_if_clock_set_back(self, now_ns: int) -> bool:
        """See StreamBuffer."""
        set_back = [part for part in self._parts if part.stream.drop_if_clock_set_back(now_ns)]
        if set_back:
            with self._lock:
                self._dropped.clear()
        return bool(set_back)

    # --- the joints ----------------------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[Part, ...]:
        """The joints that have come, by which come together."""
        self._pull()
        return self._parts

    def missing(self) -> tuple[str, ...]:
        """Names of the joints that have never come."""
        seen = {int(joint) for part in self.parts for joint in part.joints}
        return tuple(name for joint, name in enumerate(self.joints) if joint not in seen)

    @property
    def others(self) -> tuple[str, ...]:
        """Names in the last message that had any which are none of the joints; at most 20."""
        return self._others[:_SHOWN]

    def late_joints(self, now_ns: int) -> tuple[str, ...]:
        """Names of the joints that have no sample since max_age [s] before `now_ns` [ns].

        Samples that wait elsewhere do not count, so that this may be asked while they are being read.
        """
        oldest_ns = now_ns - round(self.max_age * NANOSECONDS)
        stamps = [(part, part.stream.newest_stamp_ns) for part in self._parts]
        live = {
            name for part, stamp in stamps if stamp is not None and stamp >= oldest_ns for name in part.names
        }
        return tuple(name for name in self.joints if name not in live)

    def missing_text(self) -> str:
        """What is known about the joints that have never come; empty if all have, or no message has come."""
        missing = self.missing()
        if not missing or not (self._parts or self._others):
            return ""
        others = f"; a message names {listing(self.others)}" if self._others else ""
        return f"nothing received of {listing(missing)}{others}.{did_you_mean(missing[0], self._others)}"

    def conflict(self, now_ns: int) -> str:
        """Says that a joint comes on two topics, if it did within max_age [s] before `now_ns`."""
        is_recent = now_ns - self._conflict_ns <= self.max_age * NANOSECONDS
        return self._conflict if is_recent else ""

    # --- reading -------------------------------------------------------------------------------------------

    def at(self, stamp_ns: int) -> tuple[Pose, float] | None:
        """The pose (A,) at a time [ns], and the time from it to the nearest sample of its worst part [s].

        Interpolated linearly; before the first and after the last sample it is that one. None if a joint has
        no sample.
        """
        parts = self._complete()
        if parts is None:
            return None
        pose, worst = np.empty(len(self.joints)), 0.0  # (A,)
        for part in parts:
            before, after = part.stream.bracket(stamp_ns)
            stamps = [abs(stamp_ns - each.stamp_ns) for each in (before, after) if each is not None]
            if not stamps:
                return None
            worst = max(worst, min(stamps) / NANOSECONDS)
            if before is not None and after is not None:
                pose[part.joints] = interpolate(before, after, stamp_ns, self._continuous[part.joints])
            else:
                only = before or after
                assert only is not None  # one of them had a stamp
                pose[part.joints] = only.value
        return pose, worst

    def latest_at(self, stamp_ns: int) -> Sample[Pose] | None:
        """The newest sample of each part at or before a time [ns], with the oldest of their stamps."""
        parts = self._complete()
        return None if parts is None else self._joined(parts, [p.stream.latest_at(stamp_ns) for p in parts])

    def newest(self) -> Sample[Pose] | None:
        """The pose at the newest time at which no joint must be extrapolated; None if a joint is missing."""
        stamp_ns = self.newest_stamp_ns
        found = None if stamp_ns is None else self.at(stamp_ns)
        return None if stamp_ns is None or found is None else Sample(stamp_ns, found[0])

    def oldest(self) -> Sample[Pose] | None:
        """The oldest sample of each part, with the oldest of their stamps; None if a joint is missing."""
        parts = self._complete()
        return None if parts is None else self._joined(parts, [part.stream.oldest() for part in parts])

    def bracket(self, stamp_ns: int) -> tuple[Sample[Pose] | None, Sample[Pose] | None]:
        """Not for poses: each part has samples of its own before and after a time. Use `at`."""
        raise ValueError("a pose has no two samples around a time; use at()")

    def __len__(self) -> int:
        parts = self._complete()
        return 0 if parts is None else min(len(part.stream) for part in parts)

    @property
    def newest_stamp_ns(self) -> int | None:
        """The oldest of the parts' newest stamps [ns]; None if a joint has no sample."""
        stamps = [part.stream.newest_stamp_ns for part in self._complete() or ()]
        known = [stamp for stamp in stamps if stamp is not None]
        return min(known) if known and len(known) == len(stamps) else None

    @property
    def newest_arrival_ns(self) -> int | None:
        """When the newest sample of the part that is oldest was accepted [ns]; None if that is not known."""
        arrivals = [part.stream.newest_arrival_ns for part in self._parts]
        known = [arrival for arrival in arrivals if arrival is not None]
        return min(known) if known and len(known) == len(arrivals) else None

    @property
    def counters(self) -> StreamCounters:
        """How many poses were accepted, and how many messages were dropped."""
        self._pull()
        each = [part.stream.counters for part in self._parts]
        if not each:
            return self._counters
        names = ("out_of_order", "duplicates", "late", "future")
        return replace(
            self._counters,
            accepted=0 if self.missing() else min(counters.accepted for counters in each),
            clock_resets=max(counters.clock_resets for counters in each),
            **{name: sum(getattr(counters, name) for counters in each) for name in names},
        )

    def dropped_since(self, now_ns: int | None) -> list[DroppedSample]:
        """See StreamBuffer."""
        found = super().dropped_since(now_ns)
        for part in self._parts:
            found += part.stream.dropped_since(now_ns)
        return sorted(found, key=lambda dropped: dropped.now_ns)

    def clock_offset(self) -> float | None:
        """How far the sender's clock is behind ours [s]; of several senders the one that is most off."""
        self._pull()
        offsets = [part.stream.clock_offset() for part in self._parts]
        return max((offset for offset in offsets if offset is not None), key=abs, default=None)

    # --- inside --------------------------------------------------------------------------------------------

    def _complete(self) -> tuple[Part, ...] | None:
        """The parts; None if a joint has never come."""
        parts = self.parts
        return parts if sum(len(part.joints) for part in parts) == len(self.joints) else None

    def _joined(self, parts: Sequence[Part], samples: Sequence[Sample[Pose] | None]) -> Sample[Pose] | None:
        if len(samples) == 1:
            return samples[0]
        pose, stamps = np.empty(len(self.joints)), []  # (A,)
        for part, sample in zip(parts, samples, strict=True):
            if sample is None:
                return None
            pose[part.joints] = sample.value
            stamps.append(sample.stamp_ns)
        return Sample(min(stamps), pose)

    def _route(self, joints: tuple[int, ...]) -> list[tuple[Part, NDArray[np.intp]]]:
        """The parts that a message with these joints belongs to, and which of its values are theirs.

        Joints that did not come alone so far now do: their part is divided.
        """
        with self._routing:
            rest, parts = set(joints), []
            for part in self._parts:
                own = {int(joint) for joint in part.joints}
                halves = [half for half in (own & rest, own - rest) if half]
                parts += [part] if len(halves) == 1 else [self._half(part, half) for half in halves]
                rest -= own
            if rest:
                parts.append(self._part(rest, StreamBuffer(self.settings)))
            self._parts, self._routes = tuple(parts), {}
            wanted, position = set(joints), {joint: column for column, joint in enumerate(joints)}
            route = [
                (part, np.array([position[int(joint)] for joint in part.joints], dtype=np.intp))
                for part in parts
                if wanted.issuperset(int(joint) for joint in part.joints)
            ]
            self._routes[joints] = route
            return route

    def _part(self, joints: set[int], stream: StreamBuffer[Pose]) -> Part:
        indices = np.array(sorted(joints), dtype=np.intp)  # (M,)
        return Part(indices, tuple(self.joints[joint] for joint in indices), stream)

    def _half(self, part: Part, joints: set[int]) -> Part:
        columns = np.array([int(joint) in joints for joint in part.joints])  # (M,)
        return self._part(joints, part.stream.copy(lambda values: values[columns]))

    def _conflict_of(self, joints: tuple[int, ...], topic: str) -> str:
        """Which joint of a message comes on another topic, too; empty if none does."""
        for joint in joints:
            if (known := self._topics.setdefault(joint, topic)) != topic:
                return (
                    f"{self.joints[joint]} comes on {known} and on {topic}: which one counts? Leave one out "
                    f"of {self._configured_in}.topics, or tell their joints apart by "
                    f"{self._configured_in}.prefixes"
                )
        return ""


def interpolate(
    before: Sample[np.ndarray], after: Sample[np.ndarray], stamp_ns: int, continuous: np.ndarray
) -> np.ndarray:
    """Linear interpolation between two samples -> (D,) float64.

    A ``continuous`` joint (D,) that seems to move by more than half a turn has passed the end of its
    measuring range [-pi, pi]. It is interpolated the short way, and the result stays in that range.
    """
    weight = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    start = np.asarray(before.value, dtype=np.float64)  # (D,)
    end = np.asarray(after.value, dtype=np.float64)  # (D,)
    wrapped = continuous & (np.abs(end - start) > np.pi)  # (D,)
    result = start + weight * (nearest_turn(end, start, wrapped) - start)  # (D,)
    return nearest_turn(result, np.zeros_like(result), wrapped)
