# SPDX-License-Identifier: Apache-2.0
"""Turns streams into the frames of one episode: one clock at the contract's rate, one action per frame.

Frame i is what the policy would have seen at `first + i/fps`, where `first` is the stamp that an observation
would have had when the episode began. It is taken as soon as it is final: when every stream went past that
time, or is too late to count. Then the last sample is repeated, which the frame says and the trace keeps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.recording._action_source import ActionSource
from dit_policy_ros.core.recording._episode_trace import EpisodeTrace
from dit_policy_ros.core.sensing import Frame, ObservationBuilder, StreamCounters

_JOINTS, _ACTION = "joint_states", "action"  # names in `missing` beside those of the cameras


@dataclass(frozen=True, slots=True)
class EpisodeFrame:
    """One frame of an episode: undecoded payloads per camera, state (D,) and action (A,) [rad or m].

    repeated: streams that had no new sample, so that the one before stands in for it.
    """

    stamp_ns: int
    images: dict[str, Any]
    state: np.ndarray
    action: np.ndarray
    repeated: tuple[str, ...] = ()


class EpisodeSampler:
    """Samples one episode.

    Args:
        contract: rate and maximum ages.
        streams: cameras and joints, being filled.
        actions: the commands, being filled.
        now_ns: our clock at the beginning [ns].

    Raises:
        StaleObservation: a stream is not live at the beginning.
    """

    def __init__(
        self, contract: Contract, streams: ObservationBuilder, actions: ActionSource, now_ns: int
    ) -> None:
        self._streams = streams
        self._actions = actions
        self._fps = contract.fps
        self._dt = contract.dt
        self._max_lag_ns = round(streams.max_lag * NANOSECONDS)
        self.first_stamp_ns = streams.observation_stamp(now_ns)
        while actions.at(self.first_stamp_ns) is None and self.first_stamp_ns < now_ns:
            self.first_stamp_ns += contract.dt_ns  # the first command came after the newest image
        self._last: Frame | None = None
        self._counters = {stream.name: stream.counters for stream in streams.streams}
        self.frames = 0
        self.missing = dict.fromkeys([*streams.images, _JOINTS, _ACTION], 0)
        self.image_stamps_ns: dict[str, list[int]] = {name: [] for name in streams.images}  # each once
        self.trace = EpisodeTrace(contract.fps, tuple(streams.images))

    @property
    def next_stamp_ns(self) -> int:
        """Time of the next frame [ns]."""
        return self.first_stamp_ns + round(self.frames * NANOSECONDS / self._fps)

    def poll(self, now_ns: int) -> EpisodeFrame | None:
        """The next frame if it is final at `now_ns` [ns], else None. Call again until it is None.

        Raises StreamError if the episode cannot go on: our clock jumped, or the caller is too slow.
        """
        stamp_ns = self.next_stamp_ns
        lag_ns = now_ns - stamp_ns
        if lag_ns > self._max_lag_ns:
            raise StreamError(
                f"frame {self.frames} is {lag_ns / NANOSECONDS:.2f} s late: the clock jumped ahead, or this "
                "machine is too slow for these cameras at this rate"
            )
        if lag_ns < -self._max_lag_ns:
            raise StreamError(f"the clock was set back by {-lag_ns / NANOSECONDS:.2f} s")
        if now_ns < stamp_ns or not (
            self._streams.is_settled(stamp_ns, now_ns) and self._actions.is_settled(stamp_ns, now_ns)
        ):
            return None
        frame = self._streams.sample_at(stamp_ns)
        action = self._actions.at(stamp_ns)
        if action is None:
            raise StreamError("there is no command for this frame: the commands were cleared")
        repeated = self._repeated(frame)
        self.frames += 1
        self._last = frame
        image_stamps_ns = [sample.stamp_ns for sample in frame.images.values()]
        self.trace.add(stamp_ns, frame.state, action, image_stamps_ns, repeated)
        images = {name: sample.value for name, sample in frame.images.items()}
        return EpisodeFrame(stamp_ns, images, frame.state, action, repeated)

    def dropped(self) -> dict[str, StreamCounters]:
        """By stream, what became of its samples since the episode began."""
        return {
            stream.name: stream.counters.since(self._counters[stream.name])
            for stream in self._streams.streams
        }

    def reached(self, newest: int = 0) -> tuple[float, float]:
        """Rate [Hz] and 99th percentile of the interval [s] of the slowest camera's different images.

        The frames themselves are equally spaced by construction; what a camera really delivered is in these.
        Only the `newest` images count, all by default. Not a number before two images came.
        """
        rates, intervals = [], []
        for all_stamps in self.image_stamps_ns.values():
            stamps = all_stamps[-newest:]
            if len(stamps) < 2:
                return float("nan"), float("nan")
            gaps = np.diff(stamps) / NANOSECONDS  # [s]
            rates.append(1.0 / float(gaps.mean()))
            intervals.append(float(np.percentile(gaps, 99)))
        return min(rates), max(intervals)

    def _repeated(self, frame: Frame) -> tuple[str, ...]:
        """The streams without a sample for this frame; counts them."""
        repeated = []
        for name, sample in frame.images.items():
            if self._last is not None and self._last.images[name].stamp_ns == sample.stamp_ns:
                repeated.append(name)
            else:
                self.image_stamps_ns[name].append(sample.stamp_ns)
        if frame.joints_distance > self._dt:
            repeated.append(_JOINTS)
        if not self._actions.is_fresh(frame.stamp_ns):
            repeated.append(_ACTION)
        for name in repeated:
            self.missing[name] += 1
        return tuple(repeated)
