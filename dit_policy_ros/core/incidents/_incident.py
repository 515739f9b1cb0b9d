# SPDX-License-Identifier: Apache-2.0
"""The last seconds of everything that decided what the robot was told, kept so that it can be done again.

Two records, because they are repeated by different means: what the policy saw and answered (inferences),
and what was asked of the pipeline and came out (motion calls). The pipeline has a past that reaches back to
the activation, so its whole state is kept once a second, like the key frames of a video: a replay begins at
the oldest one.
"""

import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.motion import Continuation, Plan
from dit_policy_ros.core.policy import Policy

_KEY_FRAME_NS = NANOSECONDS  # between two whole states of the pipeline

Frame = NDArray[np.uint8]


@dataclass(slots=True, eq=False)
class Inference:
    """One inference: what went in, and what came out once it has.

    Attributes:
        began_ns: when it began [ns].
        stamp_ns: of the observation [ns].
        task: the instruction.
        seed: of its randomness, see ``predict_seeded``.
        images: per camera n_obs frames, uint8 (H, W, 3) RGB, oldest first.
        image_stamps_ns: their stamps [ns].
        state: float32 (n_obs, D) [rad or m].
        previous: what the sample was to go on from.
        actions: (T, A) [rad or m] as the policy gave them; None where it raised or is still at it.
    """

    began_ns: int
    stamp_ns: int
    task: str
    seed: int
    images: dict[str, tuple[Frame, ...]]
    image_stamps_ns: dict[str, tuple[int, ...]]
    state: NDArray[np.float32]
    previous: Continuation | None = None
    actions: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MotionCall:
    """One call of a method of the pipeline, its arguments and what came of it.

    Attributes:
        method: name of the method.
        arguments, options: positional and named ones, as they were given.
        plan: what it returned, where that is a plan: it was published.
        error: what it raised, as text; empty otherwise.
    """

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    plan: Plan | None
    error: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MotionSegment:
    """The pipeline's state at one moment (pickled) and the calls from then on."""

    began_ns: int  # by the ring's clock
    state: bytes
    calls: list[MotionCall] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Incident:
    """A copy of what the ring held; segments follow one another without a gap."""

    inferences: tuple[Inference, ...]
    segments: tuple[MotionSegment, ...]


class IncidentRing:
    """Keeps the last seconds. Thread-safe; costs references, one copy of each new frame, no decoding."""

    def __init__(self, seconds: float, steady_ns: Callable[[], int]) -> None:
        """Begin empty.

        Args:
            seconds: how much to keep [s]; motion calls up to a second longer. 0 keeps nothing.
            steady_ns: a clock that never jumps [ns].
        """
        self._keep_ns = round(seconds * NANOSECONDS)
        self._steady_ns = steady_ns
        self._lock = threading.Lock()
        self._inferences: deque[tuple[int, Inference]] = deque()
        self._segments: deque[MotionSegment] = deque()
        # Consecutive observations share frames; each is kept once, as long as an inference refers to it.
        self._frames: weakref.WeakValueDictionary[tuple[str, int], Frame] = weakref.WeakValueDictionary()

    @property
    def enabled(self) -> bool:
        """Whether anything is kept at all."""
        return self._keep_ns > 0

    def observed(
        self,
        began_ns: int,
        stamp_ns: int,
        task: str,
        seed: int,
        images: Mapping[str, NDArray[np.uint8]],
        image_stamps_ns: Mapping[str, tuple[int, ...]],
        state: NDArray[np.float32],
        previous: Continuation | None = None,
    ) -> Inference:
        """Take in what an inference is about to see; the caller sets ``actions`` when there are some.

        Args:
            images: per camera (n_obs, H, W, 3), the arguments of ``Policy.predict``.
        """
        with self._lock:
            frames = {
                name: tuple(
                    self._frame(name, stamp, image)
                    for stamp, image in zip(image_stamps_ns[name], images[name], strict=True)
                )
                for name in (images if self.enabled else ())
            }
            inference = Inference(
                began_ns, stamp_ns, task, seed, frames, dict(image_stamps_ns), state, previous
            )
            if self.enabled:
                steady_ns = self._steady_ns()
                self._inferences.append((steady_ns, inference))
                while self._inferences[0][0] < steady_ns - self._keep_ns:
                    self._inferences.popleft()
            return inference

    def wants_state(self) -> bool:
        """Whether the next call should come with the pipeline's state before it."""
        with self._lock:
            newest = self._segments[-1].began_ns if self._segments else None
            return newest is None or self._steady_ns() - newest >= _KEY_FRAME_NS

    def called(self, call: MotionCall, state_before: bytes | None) -> None:
        """Take in a call of the pipeline, with the state before it where ``wants_state`` said so."""
        with self._lock:
            steady_ns = self._steady_ns()
            if state_before is not None:
                self._segments.append(MotionSegment(steady_ns, state_before))
            self._segments[-1].calls.append(call)
            while len(self._segments) > 1 and self._segments[1].began_ns <= steady_ns - self._keep_ns:
                self._segments.popleft()

    def snapshot(self) -> Incident:
        """What is held right now; later calls do not change it."""
        with self._lock:
            segments = tuple(
                MotionSegment(segment.began_ns, segment.state, list(segment.calls))
                for segment in self._segments
            )
            return Incident(tuple(inference for _, inference in self._inferences), segments)

    def _frame(self, camera: str, stamp_ns: int, image: Frame) -> Frame:
        known = self._frames.get((camera, stamp_ns))
        if known is None:
            known = self._frames[camera, stamp_ns] = image.copy()  # (H, W, 3) not a view of the whole history
        return known


def predict_seeded(
    policy: Policy,
    images: Mapping[str, NDArray[np.uint8]],
    state: NDArray[np.float32],
    task: str,
    seed: int,
    previous: Continuation | None = None,
) -> NDArray[np.float32]:
    """``policy.predict`` whose randomness depends on the seed alone: robot and replay call it alike.

    The noise that sampling starts from is made here, so that it is the same on every device; what a sampler
    draws on the way (DDPM) comes from the policy's own generator.
    """
    noise = np.random.default_rng(seed).standard_normal((policy.horizon, policy.action_dim), dtype=np.float32)
    policy.seed_sampling(seed)
    return policy.predict(images, state, task, noise, previous=previous)
