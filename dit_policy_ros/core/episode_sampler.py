# SPDX-License-Identifier: Apache-2.0
"""Turns streams into the frames of one episode: one clock at the contract's rate, one action per frame.

Frame i is what the policy would have seen at `first + i/fps`, where `first` is the stamp that an observation
would have had when the episode began. It is taken as soon as it is final: when every stream went past that
time, or is too late to count. Then the last sample is repeated and counted as missing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dit_policy_ros.core.action_source import ActionSource
from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.observation import Frame, ObservationBuilder

_JOINTS, _ACTION = "joint_states", "action"  # names in `missing` beside those of the cameras


@dataclass(frozen=True, slots=True)
class EpisodeFrame:
    """One frame of an episode: undecoded payloads per camera, state (D,) and action (A,) [rad or m]."""

    stamp_ns: int
    images: dict[str, Any]
    state: np.ndarray
    action: np.ndarray


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
        self.frames = 0
        self.missing = dict.fromkeys([*streams.images, _JOINTS, _ACTION], 0)
        self.image_stamps_ns: dict[str, list[int]] = {name: [] for name in streams.images}  # each once

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
        self._count(frame)
        self.frames += 1
        self._last = frame
        images = {name: sample.value for name, sample in frame.images.items()}
        return EpisodeFrame(stamp_ns, images, frame.state, action)

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

    def _count(self, frame: Frame) -> None:
        for name, sample in frame.images.items():
            if self._last is not None and self._last.images[name].stamp_ns == sample.stamp_ns:
                self.missing[name] += 1
            else:
                self.image_stamps_ns[name].append(sample.stamp_ns)
        if frame.joints_distance > self._dt:
            self.missing[_JOINTS] += 1
        if not self._actions.is_fresh(frame.stamp_ns):
            self.missing[_ACTION] += 1
