# SPDX-License-Identifier: Apache-2.0
"""Samples the frames of one episode from streams, at the contract's rate, with one action per frame.

Frame i is what the policy would have seen at `first + i/fps`, where `first` is the stamp of an observation at
the beginning of the episode. A frame is taken when it is final: each stream has a newer sample or has timed
out. A stream that has timed out repeats its last sample; the frame and the trace say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.recording._action_source import ActionSource
from dit_policy_ros.core.recording._control_track import CONTROL, UNKNOWN, Control, ControlTrack
from dit_policy_ros.core.recording._episode_trace import ACTION, JOINTS, EpisodeTrace
from dit_policy_ros.core.recording._losses import StreamLosses
from dit_policy_ros.core.sensing import Frame, ObservationBuilder, unusable_reason

_LATE_IMAGE = 1.25  # [periods of a slow camera] cameras keep their rate only on average


@dataclass(frozen=True, slots=True)
class EpisodeFrame:
    """One frame of an episode: image per camera (not decoded), state (D,) and action (A,) [rad or m].

    repeated: streams without a new sample, whose last sample is repeated. vectors: further ones, (K,) each.
    control: who drove; None if no policy is recorded.
    """

    stamp_ns: int
    images: dict[str, Any]
    state: np.ndarray
    action: np.ndarray
    repeated: tuple[str, ...] = ()
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    control: Control | None = None


class EpisodeSampler:
    """Samples one episode.

    Args:
        contract: rate and maximum ages.
        streams: cameras, joints and further vectors; samples keep arriving.
        actions: the commands; they keep arriving.
        now_ns: present time [ns].
        control: who drives the arms; None if no policy is recorded.

    Attributes:
        human_frames: frames in which a person drove while a policy was recorded.
        policies: by the hash of its files, where each policy that drove was loaded from.

    Raises:
        StaleObservation: a stream is not live at the beginning.
    """

    def __init__(
        self,
        contract: Contract,
        streams: ObservationBuilder,
        actions: ActionSource,
        now_ns: int,
        control: ControlTrack | None = None,
    ) -> None:
        self._streams, self._control = streams, control
        self.human_frames, self.policies = 0, dict[str, str]()
        self._actions = actions
        self._contract, self._fps = contract, contract.fps
        cameras = [contract.camera(name) for name in streams.images]
        self._image_rates = {camera.name: contract.image_rate(camera) for camera in cameras}  # [Hz]
        # How long the image of a camera slower than the frames may be repeated before one is missing [ns].
        self._repeatable_ns = {
            camera.name: round(_LATE_IMAGE * NANOSECONDS / contract.image_rate(camera))
            if contract.image_lead(camera) > 0.0
            else 0
            for camera in cameras
        }
        self._joints_within = max(contract.dt, contract.joint_states_period)  # [s]
        self._max_lag_ns = round(streams.max_lag * NANOSECONDS)
        self.first_stamp_ns = streams.observation_stamp(now_ns)
        while actions.at(self.first_stamp_ns) is None and self.first_stamp_ns < now_ns:
            self.first_stamp_ns += contract.dt_ns  # the first command arrived after the newest image
        self._last: Frame | None = None
        self._sources = {stream.name: stream for stream in streams.streams} | dict(actions.command_streams)
        self._counters = {name: source.counters for name, source in self._sources.items()}
        self.frames = 0
        self.missing = dict.fromkeys([*streams.images, JOINTS, ACTION, *streams.vectors], 0)
        if control is not None:
            self.missing[CONTROL] = 0
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
            StreamError: the episode cannot continue: our clock has jumped, the caller is too slow, or all
                samples of a stream cannot be used any more.
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
            self._streams.is_settled(stamp_ns, now_ns)
            and self._actions.is_settled(stamp_ns, now_ns)
            and (self._control is None or self._control.is_settled(stamp_ns, now_ns))
        ):
            return None
        for stream in self._streams.streams:
            if (reason := unusable_reason(stream, now_ns)) is not None:
                raise StreamError(reason)
        frame = self._streams.sample_at(stamp_ns)
        action = self._actions.at(stamp_ns)
        if action is None:
            raise StreamError("there is no command for this frame: the commands were cleared")
        control = None if self._control is None else self._control.at(stamp_ns)
        repeated = self._repeated(frame, control)
        self.frames += 1
        self._last = frame
        image_stamps_ns = [sample.stamp_ns for sample in frame.images.values()]
        self.trace.add(stamp_ns, frame.state, action, image_stamps_ns, repeated)
        images = {name: sample.value for name, sample in frame.images.items()}
        return EpisodeFrame(stamp_ns, images, frame.state, action, repeated, frame.vectors, control)

    def losses(self) -> dict[str, StreamLosses]:
        """By stream, the counts of accepted and dropped samples since the episode began, and why refused.

        The commands count as streams: by the names of their controllers, or of their topic's stream.
        """
        return {
            name: StreamLosses(source.counters.since(self._counters[name]), source.refusal)
            for name, source in self._sources.items()
        }

    def slowest_camera(self, newest: int = 0) -> tuple[float, float]:
        """Image rate [Hz] and 99th percentile of the image interval [s] of the slowest camera.

        Repeated images do not count, so this is what the camera really delivered; the frames of the episode
        are equally spaced in any case. Of cameras with rates of their own, the slowest is the one that is
        furthest below its own; so is the interval. NaN with fewer than two images, or without a camera.

        Args:
            newest: number of newest images that are used; 0 uses all.
        """
        rates, intervals = self._rates(newest), {}
        if rates is None:
            return float("nan"), float("nan")
        for name in rates:
            gaps = np.diff(self.image_stamps_ns[name][-newest:]) / NANOSECONDS  # [s]
            intervals[name] = float(np.percentile(gaps, 99))
        latest = max(intervals, key=lambda name: intervals[name] * self._image_rates[name])
        return rates[self._slowest(rates)], intervals[latest]

    def slowest_camera_name(self) -> str:
        """The camera that `slowest_camera` measures; empty if it is NaN."""
        rates = self._rates(0)
        return "" if rates is None else self._slowest(rates)

    def _slowest(self, rates: Mapping[str, float]) -> str:
        return min(rates, key=lambda name: rates[name] / self._image_rates[name])

    def _rates(self, newest: int) -> dict[str, float] | None:
        """The image rate of each camera [Hz]; None without cameras, or with fewer than two images of one."""
        stamps = {name: stamps[-newest:] for name, stamps in self.image_stamps_ns.items()}
        if not stamps or any(len(each) < 2 for each in stamps.values()):
            return None
        return {name: 1.0 / float((np.diff(each) / NANOSECONDS).mean()) for name, each in stamps.items()}

    def _repeated(self, frame: Frame, control: Control | None) -> tuple[str, ...]:
        """The streams without a new sample for this frame; also counts them."""
        repeated = []
        for name, sample in frame.images.items():
            if self._last is not None and self._last.images[name].stamp_ns == sample.stamp_ns:
                if frame.stamp_ns - sample.stamp_ns >= self._repeatable_ns[name]:
                    repeated.append(name)
            else:
                self.image_stamps_ns[name].append(sample.stamp_ns)
        if frame.joints_distance > self._joints_within:
            repeated.append(JOINTS)
        if not self._actions.is_fresh(frame.stamp_ns):
            repeated.append(ACTION)
        repeated += [
            name for name, distance in frame.vector_distances.items() if distance > self._contract.dt
        ]
        if control is not None:
            if control.controller == UNKNOWN:
                repeated.append(CONTROL)
            self.human_frames += control.is_human
            if control.policy:
                self.policies[control.policy] = control.checkpoint
        for name in repeated:
            self.missing[name] += 1
        return tuple(repeated)
