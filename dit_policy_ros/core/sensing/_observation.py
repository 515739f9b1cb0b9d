# SPDX-License-Identifier: Apache-2.0
"""Builds observations of one instant from streams that are not synchronised.

The policy node and the recorder use the same functions, so a policy sees exactly what was recorded:
- The stamp of an observation is the oldest of the streams' newest stamps, so nothing has to be extrapolated.
- Images are the latest at or before a time; joint positions and further vectors are interpolated linearly.
- A camera that is slower than the contract's rate, and says so there, shows its newest image until the next
  one is due, as in a recording. It does not hold back the stamp meanwhile.
- Images may be a quarter of a period newer than that time. Cameras keep the contract's rate only on average;
  without this tolerance an image that is 1 ms late would be replaced by the one before, a whole period older.
- While there is not enough history, the first sample is repeated.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import NANOSECONDS, Contract, Vector
from dit_policy_ros.core.errors import StaleObservation
from dit_policy_ros.core.sensing._joint_buffer import JointBuffer
from dit_policy_ros.core.sensing._stale_reason import never_received, stale_reason
from dit_policy_ros.core.sensing._streams import LATE_SAMPLE_TIMEOUT, Sample, StreamBuffer, StreamSettings
from dit_policy_ros.core.sensing._vectors import interpolate_vector

_IMAGE_TOLERANCE = 0.25  # [periods]
_MAX_CAMERA_RATE = 4.0  # [1/period] of a faster camera less history is kept
_MAX_JOINT_RATE = 2000.0  # [Hz]


@dataclass(frozen=True, slots=True)
class Observation:
    """The last `n_obs` instants, oldest first; the last one is at `stamp_ns` [ns].

    images: by camera, n_obs payloads as they were pushed (not decoded).
    image_stamps_ns: the stamps of the images [ns].
    state: joint positions, followed by the entries of the further vectors.
    """

    stamp_ns: int
    images: dict[str, tuple[Any, ...]]
    image_stamps_ns: dict[str, tuple[int, ...]]
    state: np.ndarray  # (n_obs, D) float64


@dataclass(frozen=True, slots=True)
class Frame:
    """One instant: the image of each camera, the joint positions and the further vectors.

    joints_distance [s]: time between the instant and the nearest joint sample. vectors: float64 (K,) each.
    vector_distances [s]: as joints_distance, by vector.
    """

    stamp_ns: int
    images: dict[str, Sample[Any]]
    state: np.ndarray  # (D,) float64
    joints_distance: float
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    vector_distances: Mapping[str, float] = field(default_factory=dict)


class ObservationBuilder:
    """Keeps a stream per camera (payloads of any type), one of joint positions and one per vector.

    The values of the last two are arrays, (D,) and (K,).

    Args:
        contract: names, rates and maximum ages.
        n_obs_steps: number of instants in an observation.
        cameras: names of the cameras that are needed; all cameras of the contract by default.
        margin: additional history, for samples that are read late [s].
        vectors: names of the further vectors that are needed, in the order of the state; all of the contract
            by default.
    """

    def __init__(
        self,
        contract: Contract,
        n_obs_steps: int = 1,
        cameras: Sequence[str] | None = None,
        margin: float = 0.5,
        vectors: Sequence[str] | None = None,
    ) -> None:
        if n_obs_steps < 1:
            raise ValueError(f"n_obs_steps must be at least 1, got {n_obs_steps}")
        self._offsets_ns = [round(k * NANOSECONDS / contract.fps) for k in reversed(range(n_obs_steps))]
        self._tolerance_ns = round(_IMAGE_TOLERANCE * contract.dt_ns)
        needed = [contract.camera(name) for name in (contract.camera_names if cameras is None else cameras)]
        further = contract.vectors if vectors is None else [contract.vector(name) for name in vectors]
        ages = [each.max_age for each in (*needed, *further)]
        max_age = max([contract.joint_states_max_age, *ages])
        self.max_lag = max_age + margin  # [s] how long after its time a sample can still be read
        leads = {camera.name: contract.image_lead(camera) for camera in needed}  # [s]
        keep = self.max_lag + n_obs_steps * contract.dt + max(leads.values(), default=0.0)
        self._leads_ns = {name: round(lead * NANOSECONDS) for name, lead in leads.items()}
        self.joints = JointBuffer(
            StreamSettings(
                "joint_states",
                contract.joint_states_max_age,
                math.ceil(keep * _MAX_JOINT_RATE),
                keep=keep,
                topic=contract.joint_states_topic,
                config_key="joint_states.max_age",
            ),
            contract.joints,
            contract.limits.continuous,
        )
        self.images: dict[str, StreamBuffer[Any]] = {
            camera.name: StreamBuffer(
                StreamSettings(
                    camera.name,
                    camera.max_age,
                    math.ceil(keep * max(contract.fps, camera.fps) * _MAX_CAMERA_RATE),
                    keep=keep,
                    topic=camera.topic,
                    config_key=f"cameras.{camera.name}.max_age",
                    latency=camera.latency,
                )
            )
            for camera in needed
        }
        self._vectors = {vector.name: vector for vector in further}
        self.vectors: dict[str, StreamBuffer[np.ndarray]] = {
            name: StreamBuffer(
                StreamSettings(
                    name,
                    vector.max_age,
                    math.ceil(keep * _MAX_JOINT_RATE),
                    keep=keep,
                    topic=vector.topic,
                    config_key=f"vectors.{name}.max_age",
                )
            )
            for name, vector in self._vectors.items()
        }

    @property
    def streams(self) -> tuple[StreamBuffer[Any], ...]:
        """All streams: the cameras in the order of the contract, then the joints and the vectors."""
        return (*self.images.values(), self.joints, *self.vectors.values())

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
        newest = {stream.name: stream.newest_stamp_ns for stream in self.streams}
        stamps = [stamp + self._leads_ns.get(name, 0) for name, stamp in newest.items() if stamp is not None]
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
            state=np.stack([self._observed_at(time) for time in times]),  # (n_obs, D)
        )

    def sample_at(self, stamp_ns: int) -> Frame:
        """The same sample that `build` would return for the instant `stamp_ns` [ns].

        Raises:
            StaleObservation: a stream has no sample.
        """
        images = {name: self._image_at(name, stamp_ns) for name in self.images}
        state, distance = self._state_at(stamp_ns)
        vectors = {name: self._vector_at(vector, stamp_ns) for name, vector in self._vectors.items()}
        return Frame(
            stamp_ns,
            images,
            state,
            distance,
            {name: values for name, (values, _) in vectors.items()},
            {name: away for name, (_, away) in vectors.items()},
        )

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
        tolerance_ns = self._tolerance_ns if stream.name in self.images else 0
        return newest is not None and newest >= stamp_ns + tolerance_ns

    def _image_at(self, name: str, stamp_ns: int) -> Sample[Any]:
        stream = self.images[name]
        sample = stream.latest_at(stamp_ns + self._tolerance_ns) or stream.oldest()
        if sample is None:
            raise StaleObservation(never_received(stream))
        return sample

    def _observed_at(self, stamp_ns: int) -> np.ndarray:
        """What a policy observes beside images: the joint positions, then the vectors; (D,)."""
        state = self._state_at(stamp_ns)[0]
        if not self._vectors:
            return state
        return np.concatenate([state, *(self._vector_at(v, stamp_ns)[0] for v in self._vectors.values())])

    def _state_at(self, stamp_ns: int) -> tuple[np.ndarray, float]:
        """The joint positions (D,) and the time to the nearest sample [s]."""

        found = self.joints.at(stamp_ns)
        if found is None:
            raise StaleObservation(never_received(self.joints))
        return found

    def _vector_at(self, vector: Vector, stamp_ns: int) -> tuple[np.ndarray, float]:
        """A further vector (K,) and the time to its nearest sample [s]."""

        def between(before: Sample[np.ndarray], after: Sample[np.ndarray]) -> np.ndarray:
            return interpolate_vector(before, after, stamp_ns, vector.entries)

        return _at(self.vectors[vector.name], stamp_ns, between)


def _at(
    stream: StreamBuffer[np.ndarray],
    stamp_ns: int,
    between: Callable[[Sample[np.ndarray], Sample[np.ndarray]], np.ndarray],
) -> tuple[np.ndarray, float]:
    """A stream's value at a time, and the time to its nearest sample [s].

    between: the value from the samples before and after. Raises StaleObservation if there is no sample.
    """
    before, after = stream.bracket(stamp_ns)
    distances_ns = [abs(stamp_ns - sample.stamp_ns) for sample in (before, after) if sample is not None]
    distance = min(distances_ns, default=0) / NANOSECONDS  # [s]
    if before is not None and after is not None:
        return between(before, after), distance
    only = before or after
    if only is None:
        raise StaleObservation(never_received(stream))
    return np.array(only.value, dtype=np.float64), distance
