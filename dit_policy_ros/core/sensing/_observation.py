# SPDX-License-Identifier: Apache-2.0
"""What the robot looked like at one instant, put together from streams that never tick together.

The policy node and the recorder use the same functions, so that a policy sees what was recorded:
- The stamp of an observation is the oldest of the streams' newest stamps: nothing is guessed beyond it.
- Images are the latest at or before a time, joint positions are linearly interpolated; neither is
  extrapolated.
- "At or before" grants images a quarter of a period of slack: cameras tick at the contract's rate only on
  average, and with a strict comparison a frame 1 ms late to its slot would be passed over for the one before
  it, a whole period older. What the slack admits was measured, not predicted.
- Before enough history exists the first sample is repeated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dit_policy_ros.core.continuous_joints import nearest
from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import StaleObservation
from dit_policy_ros.core.sensing._streams import PATIENCE, Sample, StreamBuffer

_IMAGE_SLACK = 0.25  # [periods]
_MAX_CAMERA_RATE = 4.0  # [periods^-1] a faster camera keeps less history
_MAX_JOINT_RATE = 2000.0  # [Hz]


@dataclass(frozen=True, slots=True)
class Observation:
    """The last `n_obs` instants, oldest first, the last of them at `stamp_ns` [ns].

    images: per camera, n_obs payloads as they were pushed (undecoded).
    image_stamps_ns: their own stamps [ns].
    """

    stamp_ns: int
    images: dict[str, tuple[Any, ...]]
    image_stamps_ns: dict[str, tuple[int, ...]]
    state: np.ndarray  # (n_obs, D) float64


@dataclass(frozen=True, slots=True)
class Frame:
    """One instant: the sample of each camera and the joint positions.

    joints_distance [s]: from the instant to the nearest joint sample.
    """

    stamp_ns: int
    images: dict[str, Sample[Any]]
    state: np.ndarray  # (D,) float64
    joints_distance: float


class ObservationBuilder:
    """Holds one stream per camera (payloads of any type) and one of joint positions ((D,) arrays).

    Args:
        contract: names, rates and maximum ages.
        n_obs_steps: instants in an observation.
        cameras: names of the cameras that are needed; all of the contract's by default.
        margin: history kept beyond what is needed, for a consumer that comes late [s].
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
        self._slack_ns = round(_IMAGE_SLACK * contract.dt_ns)
        needed = [contract.camera(name) for name in (contract.camera_names if cameras is None else cameras)]
        max_age = max([contract.joint_states_max_age, *(camera.max_age for camera in needed)])
        self.max_lag = max_age + margin  # [s] how late one may ask for a sample
        keep = self.max_lag + n_obs_steps * contract.dt
        self.joints: StreamBuffer[np.ndarray] = StreamBuffer(
            "joint_states",
            contract.joint_states_max_age,
            math.ceil(keep * _MAX_JOINT_RATE),
            keep=keep,
            topic=contract.joint_states_topic,
            config_key="joint_states.max_age",
        )
        self.images: dict[str, StreamBuffer[Any]] = {
            camera.name: StreamBuffer(
                camera.name,
                camera.max_age,
                math.ceil(keep * contract.fps * _MAX_CAMERA_RATE),
                keep=keep,
                topic=camera.topic,
                config_key=f"cameras.{camera.name}.max_age",
                latency=camera.latency,
            )
            for camera in needed
        }

    @property
    def streams(self) -> tuple[StreamBuffer[Any], ...]:
        """All streams: the cameras in order, then the joints."""
        return (*self.images.values(), self.joints)

    def stale(self, now_ns: int) -> dict[str, str]:
        """What is wrong with each stream that is not live at `now_ns`, by its name; empty when all are."""
        reasons = {stream.name: stale_reason(stream, now_ns) for stream in self.streams}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def observation_stamp(self, now_ns: int) -> int:
        """The oldest of the streams' newest stamps [ns]; StaleObservation names every stale stream."""
        reasons = self.stale(now_ns)
        newest = [stream.newest_stamp_ns for stream in self.streams]
        stamps = [stamp for stamp in newest if stamp is not None]
        if reasons or len(stamps) < len(newest):
            raise StaleObservation("; ".join(reasons.values()) or "the streams were just cleared")
        return min(*stamps, now_ns)  # a sender's clock may be ahead of ours, within the tolerance

    def build(self, now_ns: int) -> Observation:
        """The newest complete observation; raises StaleObservation that names every stale stream."""
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
        """What `build` gives as its newest instant when that instant is `stamp_ns` [ns].

        Raises StaleObservation if a stream holds nothing at all.
        """
        images = {name: self._image_at(name, stamp_ns) for name in self.images}
        state, distance = self._state_at(stamp_ns)
        return Frame(stamp_ns, images, state, distance)

    def is_settled(self, stamp_ns: int, now_ns: int) -> bool:
        """Whether `sample_at(stamp_ns)` is final: every stream went past it or is too late to count."""
        return all(
            self._went_past(stream, stamp_ns) or now_ns - stamp_ns > PATIENCE * NANOSECONDS
            for stream in self.streams
        )

    def clear(self) -> None:
        """Drops the history of all streams."""
        for stream in self.streams:
            stream.clear()

    def _went_past(self, stream: StreamBuffer[Any], stamp_ns: int) -> bool:
        newest = stream.newest_stamp_ns
        slack_ns = 0 if stream is self.joints else self._slack_ns
        return newest is not None and newest >= stamp_ns + slack_ns

    def _image_at(self, name: str, stamp_ns: int) -> Sample[Any]:
        stream = self.images[name]
        sample = stream.latest_at(stamp_ns + self._slack_ns) or stream.oldest()
        if sample is None:
            raise StaleObservation(never_received(stream))
        return sample

    def _state_at(self, stamp_ns: int) -> tuple[np.ndarray, float]:
        """The joint positions (D,) and how far away the nearest sample is [s]."""
        before, after = self.joints.bracket(stamp_ns)
        nearest = [abs(stamp_ns - sample.stamp_ns) for sample in (before, after) if sample is not None]
        distance = min(nearest, default=0) / NANOSECONDS  # [s]
        if before is not None and after is not None:
            return interpolate(before, after, stamp_ns, self._continuous), distance
        only = before or after
        if only is None:
            raise StaleObservation(never_received(self.joints))
        return np.array(only.value, dtype=np.float64), distance  # (D,)


def interpolate(
    before: Sample[np.ndarray], after: Sample[np.ndarray], stamp_ns: int, continuous: np.ndarray
) -> np.ndarray:
    """The straight line between two samples at a time between them [ns], (D,) float64.

    A ``continuous`` joint (D,) whose angle leaps by more than half a turn has passed the end of [-pi, pi], in
    which it is measured: it takes the short way, and the result stays within.
    """
    weight = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    start = np.asarray(before.value, dtype=np.float64)  # (D,)
    end = np.asarray(after.value, dtype=np.float64)  # (D,)
    leaps = continuous & (np.abs(end - start) > np.pi)  # (D,)
    result = start + weight * (nearest(end, start, leaps) - start)  # (D,)
    return nearest(result, np.zeros_like(result), leaps)


def never_received(stream: StreamBuffer[Any]) -> str:
    """Says that nothing usable came on a stream, and why if it is known."""
    counters = stream.counters
    reason = f"stream '{stream.name}' ({stream.topic}): nothing received"
    if counters.future:
        return f"{reason} but {counters.future} samples stamped in the future; synchronise the clocks"
    if counters.clock_resets:
        return f"{reason} since the clock was set back"
    return f"{reason} yet; is its publisher running, and is the topic right?"


def stale_reason(stream: StreamBuffer[Any], now_ns: int) -> str | None:
    """Why a stream is not live at a time [ns]; None if it is."""
    stream.drop_other_timeline(now_ns)
    newest = stream.newest_stamp_ns
    if newest is None:
        return never_received(stream)
    age = (now_ns - newest) / NANOSECONDS  # [s]
    if age <= stream.max_age:
        return None
    limit = f"{stream.config_key} is {stream.max_age:g} s"
    return f"stream '{stream.name}' ({stream.topic}): newest sample is {age:.3f} s old, {limit}"
