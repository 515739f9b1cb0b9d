# SPDX-License-Identifier: Apache-2.0
"""A ring buffer of everything that decided the robot's motion in the last seconds, for a replay.

It has two parts because they are replayed separately: the inferences (input and output of the policy) and the
motion calls (calls of the pipeline and their results). The state of the pipeline depends on everything since
the activation. So its whole state is saved once a second, like the key frames of a video, and a replay begins
at the oldest one.
"""

import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.motion import Continuation, Plan
from dit_policy_ros.core.policy_interface import Policy

_KEY_FRAME_NS = NANOSECONDS  # between two saved states of the pipeline

Frame = NDArray[np.uint8]


@dataclass(slots=True, eq=False)
class Inference:
    """The input of one inference, and its output once that is known.

    Attributes:
        began_ns: when it began [ns].
        stamp_ns: of the observation [ns].
        task: the instruction.
        seed: of the random numbers, see ``predict_seeded``.
        images: per camera n_obs frames, uint8 (H, W, 3) RGB, oldest first.
        image_stamps_ns: the stamps of the frames [ns].
        state: float32 (n_obs, D) [rad or m].
        previous: the known actions that the inference continues, if any.
        actions: output of the policy, (T, A) [rad or m]; None if it failed or is still running.
    """

    began_ns: int
    stamp_ns: int
    task: str
    seed: int
    images: Mapping[str, Sequence[Frame]]
    image_stamps_ns: Mapping[str, tuple[int, ...]]
    state: NDArray[np.float32]
    previous: Continuation | None = None
    actions: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MotionCall:
    """One call of a method of the pipeline and its result.

    Attributes:
        method: name of the method.
        arguments, options: its positional and keyword arguments.
        plan: the plan that it returned, which was published; None if it returned none.
        error: text of the PlanRejected that it raised; empty otherwise.
    """

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    plan: Plan | None
    error: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MotionSegment:
    """The state of the pipeline (pickled) at one time, and the calls after it."""

    began_ns: int  # by the clock of the ring
    state: bytes
    calls: list[MotionCall] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Incident:
    """A copy of the ring's content. There is no gap between the segments."""

    inferences: tuple[Inference, ...]
    segments: tuple[MotionSegment, ...]


class IncidentRing:
    """Keeps the last seconds of inferences and motion calls. Thread-safe.

    It copies each new frame once and stores references otherwise.
    """

    def __init__(self, seconds: float, steady_ns: Callable[[], int]) -> None:
        """Create an empty ring.

        Args:
            seconds: how much to keep [s]; motion calls are kept up to a second longer. 0 keeps nothing.
            steady_ns: a monotonic clock [ns].
        """
        self._keep_ns = round(seconds * NANOSECONDS)
        self._steady_ns = steady_ns
        self._lock = threading.Lock()
        self._inferences: deque[tuple[int, Inference]] = deque()
        self._segments: deque[MotionSegment] = deque()
        # Consecutive observations share frames. Each is kept once, as long as an inference refers to it.
        self._frames: weakref.WeakValueDictionary[tuple[str, int], Frame] = weakref.WeakValueDictionary()

    @property
    def enabled(self) -> bool:
        """Whether the ring keeps anything."""
        return self._keep_ns > 0

    def add_inference(self, inference: Inference) -> Inference:
        """Add an inference that is about to begin; its images may be arrays (n_obs, H, W, 3).

        Returns:
            The inference with frames of its own, on which the caller sets ``actions`` when they are known.
        """
        if not self.enabled:
            return replace(inference, images={})
        with self._lock:
            frames = {
                name: tuple(
                    self._frame(name, stamp, image)
                    for stamp, image in zip(inference.image_stamps_ns[name], images, strict=True)
                )
                for name, images in inference.images.items()
            }
            inference = replace(inference, images=frames)
            steady_ns = self._steady_ns()
            self._inferences.append((steady_ns, inference))
            while self._inferences[0][0] < steady_ns - self._keep_ns:
                self._inferences.popleft()
            return inference

    def needs_state(self) -> bool:
        """Whether the next ``add_call`` needs the state of the pipeline before the call."""
        with self._lock:
            newest = self._segments[-1].began_ns if self._segments else None
            return newest is None or self._steady_ns() - newest >= _KEY_FRAME_NS

    def add_call(self, call: MotionCall, state_before: bytes | None) -> None:
        """Add a call of the pipeline, with the state before it if ``needs_state`` said so."""
        with self._lock:
            steady_ns = self._steady_ns()
            if state_before is not None:
                self._segments.append(MotionSegment(steady_ns, state_before))
            self._segments[-1].calls.append(call)
            while len(self._segments) > 1 and self._segments[1].began_ns <= steady_ns - self._keep_ns:
                self._segments.popleft()

    def snapshot(self) -> Incident:
        """A copy of the present content; later calls do not change it."""
        with self._lock:
            segments = tuple(
                MotionSegment(segment.began_ns, segment.state, list(segment.calls))
                for segment in self._segments
            )
            return Incident(tuple(inference for _, inference in self._inferences), segments)

    def _frame(self, camera: str, stamp_ns: int, image: Frame) -> Frame:
        known = self._frames.get((camera, stamp_ns))
        if known is None:
            known = self._frames[camera, stamp_ns] = image.copy()  # (H, W, 3) own memory
        return known


def predict_seeded(
    policy: Policy,
    images: Mapping[str, NDArray[np.uint8]],
    state: NDArray[np.float32],
    task: str,
    seed: int,
    previous: Continuation | None = None,
) -> NDArray[np.float32]:
    """``policy.predict`` with random numbers that depend on ``seed`` only, for the robot and for replays.

    The initial noise is made here, so it is the same on every device. Random numbers during sampling (DDPM)
    come from the policy's own generator.
    """
    noise = np.random.default_rng(seed).standard_normal((policy.horizon, policy.action_dim), dtype=np.float32)
    policy.seed_sampling(seed)
    return policy.predict(images, state, task, noise, previous=previous)
