# SPDX-License-Identifier: Apache-2.0
"""Samples the frames of one episode from streams, at the contract's rate, with one action per frame.

Frame i is what the policy would have seen at `first + i/fps`, where `first` is the stamp of an observation at
the beginning of the episode. A frame is taken when it is final: each stream has a newer sample or has timed
out. A stream that has timed out repeats its last sample; the frame and the trace say so.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.recording._action_source import ActionSource
from dit_policy_ros.core.recording._episode_trace import EpisodeTrace
from dit_policy_ros.core.sensing import Frame, ObservationBuilder, StreamCounters

_JOINTS, _ACTION = "joint_states", "action"  # names in `missing`, in addition to the cameras


@dataclass(frozen=True, slots=True)
class EpisodeFrame:
    """One frame of an episode: image per camera (not decoded), state (D,) and action (A,) [rad or m].

    repeated: streams without a new sample, whose last sample is repeated.
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
        streams: cameras and joints; samples keep arriving.
        actions: the commands; they keep arriving.
        now_ns: present time [ns].

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
            self.first_stamp_ns += contract.dt_ns  # the first command arrived after the newest image
        self._last: Frame | None = None
        self._counters = {stream.name: stream.counters for stream in streams.streams}
        self.frames = 0
        self.missing = dict.fromkeys([*streams.images, _JOINTS, _ACTION], 0)
        # Stamps of the images of each camera, without repetitions.
        self.image_stamps_ns: dict[str, list[int]] = {name: [] for name in streams.images}
        self.trace = EpisodeTrace(contract.fps, tuple(streams.images))

    @property
    def next_stamp_ns(self) -> int:
        """Time of the next frame [ns]."""
        return self.first_stamp_ns + round(self.frames * NANOSECONDS / self._fps)

    def poll(self, now_ns: int) -> EpisodeFrame | None:
        """The next frame if it is final at `now_ns` [ns], else None. Call again until it is None.

        Raises:
            StreamError: the episode cannot continue: our clock has jumped, or the caller is too slow.
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

    def stream_counters(self) -> dict[str, StreamCounters]:
        """By stream, the counts of accepted and dropped samples since the episode began."""
        return {
            stream.name: stream.counters.since(self._counters[stream.name])
            for stream in self._streams.streams
        }

    def slowest_camera(self, newest: int = 0) -> tuple[float, float]:
        """Image rate [Hz] and 99th percentile of the image interval [s] of the slowest camera.

        Repeated images do not count, so this is what the camera really delivered; the frames of the episode
        are equally spaced in any case. NaN with fewer than two images.

        Args:
            newest: number of newest images that are used; 0 uses all.
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
        """The streams without a new sample for this frame; also counts them."""
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
