# SPDX-License-Identifier: Apache-2.0
"""Builds observations of one instant from streams that are not synchronised.

The policy node and the recorder use the same functions, so a policy sees exactly what was recorded:
- The stamp of an observation is the oldest of the streams' newest stamps, so nothing has to be extrapolated.
- Images are the latest at or before a time; joint positions are interpolated linearly.
- Images may be a quarter of a period newer than that time. Cameras keep the contract's rate only on average;
  without this tolerance an image that is 1 ms late would be replaced by the one before, a whole period older.
- While there is not enough history, the first sample is repeated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dit_policy_ros.core.continuous_joints import nearest_turn
from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import StaleObservation
from dit_policy_ros.core.sensing._streams import LATE_SAMPLE_TIMEOUT, Sample, StreamBuffer, StreamSettings

_IMAGE_TOLERANCE = 0.25  # [periods]
_MAX_CAMERA_RATE = 4.0  # [1/period] of a faster camera less history is kept
_MAX_JOINT_RATE = 2000.0  # [Hz]


@dataclass(frozen=True, slots=True)
class Observation:
    """The last `n_obs` instants, oldest first; the last one is at `stamp_ns` [ns].

    images: by camera, n_obs payloads as they were pushed (not decoded).
    image_stamps_ns: the stamps of the images [ns].
    """

    stamp_ns: int
    images: dict[str, tuple[Any, ...]]
    image_stamps_ns: dict[str, tuple[int, ...]]
    state: np.ndarray  # (n_obs, D) float64


@dataclass(frozen=True, slots=True)
class Frame:
    """One instant: the image of each camera and the joint positions.

    joints_distance [s]: time between the instant and the nearest joint sample.
    """

    stamp_ns: int
    images: dict[str, Sample[Any]]
    state: np.ndarray  # (D,) float64
    joints_distance: float


class ObservationBuilder:
    """Keeps a stream per camera (payloads of any type) and one of joint positions ((D,) arrays).

    Args:
        contract: names, rates and maximum ages.
        n_obs_steps: number of instants in an observation.
        cameras: names of the cameras that are needed; all cameras of the contract by default.
        margin: additional history, for samples that are read late [s].
    """

    def __init__(
        self,
        contract: Contract,
        n_obs_steps: int = 1,
        cameras: Sequence[str] | None = None,
        margin: float = 0.5,
    ) -> None:
        if n_obs_steps < 1:
            raise ValueError(f"n_obs_steps must be at least 1, got {n_obs_steps}")
        self._offsets_ns = [round(k * NANOSECONDS / contract.fps) for k in reversed(range(n_obs_steps))]
        self._continuous = contract.limits.continuous  # (D,)
        self._tolerance_ns = round(_IMAGE_TOLERANCE * contract.dt_ns)
        needed = [contract.camera(name) for name in (contract.camera_names if cameras is None else cameras)]
        max_age = max([contract.joint_states_max_age, *(camera.max_age for camera in needed)])
        self.max_lag = max_age + margin  # [s] how long after its time a sample can still be read
        keep = self.max_lag + n_obs_steps * contract.dt
        self.joints: StreamBuffer[np.ndarray] = StreamBuffer(
            StreamSettings(
                "joint_states",
                contract.joint_states_max_age,
                math.ceil(keep * _MAX_JOINT_RATE),
                keep=keep,
                topic=contract.joint_states_topic,
                config_key="joint_states.max_age",
            )
        )
        self.images: dict[str, StreamBuffer[Any]] = {
            camera.name: StreamBuffer(
                StreamSettings(
                    camera.name,
                    camera.max_age,
                    math.ceil(keep * contract.fps * _MAX_CAMERA_RATE),
                    keep=keep,
                    topic=camera.topic,
                    config_key=f"cameras.{camera.name}.max_age",
                    latency=camera.latency,
                )
            )
            for camera in needed
        }

    @property
    def streams(self) -> tuple[StreamBuffer[Any], ...]:
        """All streams: the cameras in the order of the contract, then the joints."""
        return (*self.images.values(), self.joints)

    def stale(self, now_ns: int) -> dict[str, str]:
        """By name of the stale streams, the reason; empty if all streams are live at `now_ns` [ns]."""
        reasons = {stream.name: stale_reason(stream, now_ns) for stream in self.streams}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def observation_stamp(self, now_ns: int) -> int:
        """The oldest of the streams' newest stamps [ns].

        Raises:
            StaleObservation: names every stale stream.
        """
        reasons = self.stale(now_ns)
        newest = [stream.newest_stamp_ns for stream in self.streams]
        stamps = [stamp for stamp in newest if stamp is not None]
        if reasons or len(stamps) < len(newest):
            raise StaleObservation("; ".join(reasons.values()) or "the streams were just cleared")
        return min(*stamps, now_ns)  # a sender's clock may be slightly ahead of ours

    def build(self, now_ns: int) -> Observation:
        """The newest complete observation.

        Raises:
            StaleObservation: names every stale stream.
        """
        stamp_ns = self.observation_stamp(now_ns)
        times = [stamp_ns - offset for offset in self._offsets_ns]
        images = {name: [self._image_at(name, time) for time in times] for name in self.images}
        return Observation(
            stamp_ns=stamp_ns,
            images={name: tuple(sample.value for sample in samples) for name, samples in images.items()},
            image_stamps_ns={
                name: tuple(sample.stamp_ns for sample in samples) for name, samples in images.items()
            },
            state=np.stack([self._state_at(time)[0] for time in times]),  # (n_obs, D)
        )

    def sample_at(self, stamp_ns: int) -> Frame:
        """The same sample that `build` would return for the instant `stamp_ns` [ns].

        Raises:
            StaleObservation: a stream has no sample.
        """
        images = {name: self._image_at(name, stamp_ns) for name in self.images}
        state, distance = self._state_at(stamp_ns)
        return Frame(stamp_ns, images, state, distance)

    def is_settled(self, stamp_ns: int, now_ns: int) -> bool:
        """Whether `sample_at(stamp_ns)` is final: each stream has newer samples or has timed out."""
        return all(
            self._has_newer(stream, stamp_ns) or now_ns - stamp_ns > LATE_SAMPLE_TIMEOUT * NANOSECONDS
            for stream in self.streams
        )

    def clear(self) -> None:
        """Drops all samples of all streams."""
        for stream in self.streams:
            stream.clear()

    def _has_newer(self, stream: StreamBuffer[Any], stamp_ns: int) -> bool:
        newest = stream.newest_stamp_ns
        tolerance_ns = 0 if stream is self.joints else self._tolerance_ns
        return newest is not None and newest >= stamp_ns + tolerance_ns

    def _image_at(self, name: str, stamp_ns: int) -> Sample[Any]:
        stream = self.images[name]
        sample = stream.latest_at(stamp_ns + self._tolerance_ns) or stream.oldest()
        if sample is None:
            raise StaleObservation(never_received(stream))
        return sample

    def _state_at(self, stamp_ns: int) -> tuple[np.ndarray, float]:
        """The joint positions (D,) and the time to the nearest sample [s]."""
        before, after = self.joints.bracket(stamp_ns)
        distances_ns = [abs(stamp_ns - sample.stamp_ns) for sample in (before, after) if sample is not None]
        distance = min(distances_ns, default=0) / NANOSECONDS  # [s]
        if before is not None and after is not None:
            return interpolate(before, after, stamp_ns, self._continuous), distance
        only = before or after
        if only is None:
            raise StaleObservation(never_received(self.joints))
        return np.array(only.value, dtype=np.float64), distance  # (D,)


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


def never_received(stream: StreamBuffer[Any]) -> str:
    """The message for a stream without any usable sample, with the cause if it is known."""
    counters = stream.counters
    reason = f"stream '{stream.name}' ({stream.topic}): nothing received"
    if counters.future:
        remedy = "synchronise the clocks"
        if stream.settings.latency < 0.0:
            latency_key = stream.settings.config_key.replace("max_age", "latency")
            remedy = f"{latency_key} is {stream.settings.latency:g} s: correct it, or {remedy}"
        return f"{reason} but {counters.future} samples from the future; {remedy}"
    if counters.clock_resets:
        return f"{reason} since the clock was set back"
    return f"{reason} yet; is its publisher running, and is the topic right?"


def stale_reason(stream: StreamBuffer[Any], now_ns: int) -> str | None:
    """Why a stream is stale at ``now_ns`` [ns]; None if it is not."""
    stream.drop_if_clock_set_back(now_ns)
    newest = stream.newest_stamp_ns
    if newest is None:
        return never_received(stream)
    age = (now_ns - newest) / NANOSECONDS  # [s]
    if age <= stream.max_age:
        return None
    limit = f"{stream.settings.config_key} is {stream.max_age:g} s"
    return f"stream '{stream.name}' ({stream.topic}): newest sample is {age:.3f} s old, {limit}"
