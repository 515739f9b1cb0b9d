# SPDX-License-Identifier: Apache-2.0
"""The inference thread: turns observations into chunks, so that no callback waits for the policy."""

import math
import secrets
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.errors import DitPolicyError, StaleObservation
from dit_policy_ros.core.incidents import IncidentRing, Inference, predict_seeded
from dit_policy_ros.core.motion import FROZEN_INTERVALS, Chunk, Continuation, continuation
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.core.statistics import RecentRate, RecentValues
from dit_policy_ros.ros.common import lower_thread_priority
from dit_policy_ros.ros.policy._frame_decoder import FrameDecoder
from dit_policy_ros.ros.policy._motion_gate import MotionGate

_POLL = 0.02  # [s] how often the thread checks whether to stop or to infer when no image arrives


@dataclass(slots=True)
class InferenceFigures:
    """Measurements for the status message."""

    inference: RecentValues = field(default_factory=RecentValues)  # [s] policy alone
    pipeline: RecentValues = field(default_factory=RecentValues)  # [s] image stamp to plan, less inference
    observation_age: RecentValues = field(default_factory=RecentValues)  # [s] at the start of inference
    chunk_rate: RecentRate = field(default_factory=RecentRate)
    chunks: int = 0
    missed_latencies: int = 0  # inferences longer than max_latency
    newest_stamp_ns: int | None = None  # of the newest chunk's observation


@dataclass(frozen=True, slots=True)
class ReplanSettings:
    """When to infer.

    Attributes:
        period_ns: time between two actions of a chunk [ns].
        replan_interval: time between the observations of two inferences [s], to the nearest period.
        max_latency: inferences that take longer are counted [s].
        encode_on_arrival: encode frames as they arrive, not when a chunk is due.
    """

    period_ns: int
    replan_interval: float
    max_latency: float
    encode_on_arrival: bool


@dataclass(frozen=True, slots=True)
class InferenceHooks:
    """What the worker needs from the node.

    Attributes:
        task: returns the present instruction.
        now_ns: reads the node's clock [ns].
        on_chunk: called with each chunk and its task.
        logger: gets the traceback of an unexpected error.
    """

    task: Callable[[], str]
    now_ns: Callable[[], int]
    on_chunk: Callable[[Chunk, str], None]
    logger: RcutilsLogger


class InferenceWorker:
    """Observes, infers and submits the chunk, at most once per replan interval."""

    def __init__(
        self,
        policy: Policy,
        observations: ObservationBuilder,
        motion: MotionGate,
        ring: IncidentRing,
        settings: ReplanSettings,
        hooks: InferenceHooks,
    ) -> None:
        """Prepare the thread; ``start`` starts it.

        Args:
            policy: makes the chunks.
            observations: builds the policy's input.
            motion: executes the chunks; is held when inference fails.
            ring: records each inference and its input.
            settings: when to infer.
            hooks: what the worker needs from the node.
        """
        self.figures = InferenceFigures()
        self._policy, self._observations, self._motion, self._ring = policy, observations, motion, ring
        self._settings, self._hooks = settings, hooks
        # Half a period less: images arrive at their rate only on average, and one that arrives a moment too
        # early would delay the inference by a whole period.
        self._interval_ns = round(settings.replan_interval * NANOSECONDS) - settings.period_ns // 2
        self._newest_chunk: tuple[int, Chunk] | None = None  # (epoch of its inference, chunk)
        self._history_ns = (policy.n_obs_steps - 1) * settings.period_ns  # length of an observation
        self._decode = FrameDecoder(policy.image_shapes)
        self._wake_up = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Check now whether to infer: a new image has arrived."""
        self._wake_up.set()

    def request_stop(self) -> None:
        """Stop the thread after the present inference; returns at once."""
        self._is_stopping.set()
        self._wake_up.set()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end, at most ``timeout`` [s]; False if it is still inferring."""
        if self._thread.ident is not None:  # else it has never been started
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        lower_thread_priority()
        observed_ns, encoded_ns, began_ns = -1, -1, -self._interval_ns
        while not self._is_stopping.is_set():
            self._wake_up.wait(_POLL)
            self._wake_up.clear()
            if not self._motion.wants_chunks:
                continue
            epoch = self._motion.epoch
            try:
                stamp_ns = self._observations.observation_stamp(self._hooks.now_ns())
                since_ns = stamp_ns - self._history_ns
                if stamp_ns == observed_ns or not self._motion.accepts_observation(since_ns):
                    continue  # nothing new to observe, or stop_and_go and the arms still move
                if self._settings.encode_on_arrival:  # by the steady clock: the frames are encoded already
                    is_due = time.monotonic_ns() - began_ns >= self._interval_ns
                else:  # by stamps, so that inference begins with a new observation, not with the last one
                    is_due = not 0 <= stamp_ns - observed_ns < self._interval_ns  # below 0: clock set back
                with self._motion.inference():
                    if is_due:
                        began_ns = time.monotonic_ns()
                        observed_ns = self._infer(epoch)
                    elif self._settings.encode_on_arrival and stamp_ns != encoded_ns:
                        self._policy.encode(self._decode(self._observations.build(self._hooks.now_ns())))
                        encoded_ns = stamp_ns
            except StaleObservation:
                continue  # the control timer holds and names the stream
            except DitPolicyError as error:
                self._motion.hold(f"inference refused its input: {error}")
            except Exception as error:  # noqa: BLE001 - whatever broke in the policy, the arms must stop
                self._hooks.logger.error(f"unexpected error during inference:\n{traceback.format_exc()}")
                self._motion.hold(f"inference failed: {type(error).__name__}: {error}")

    def _infer(self, epoch: int) -> int:
        """Infer one chunk and submit it; returns the observation's stamp [ns]."""
        task, figures = self._hooks.task(), self.figures
        begin_ns = self._hooks.now_ns()
        observation = self._observations.build(begin_ns)
        images = self._decode(observation)  # (n_obs, H, W, 3) each
        previous = self._previous(observation.stamp_ns, epoch) if self._policy.uses_previous else None
        state, seed = observation.state.astype(np.float32), secrets.randbits(63)  # (n_obs, D)
        stamp_ns, image_stamps_ns = observation.stamp_ns, observation.image_stamps_ns
        record = self._ring.add_inference(
            Inference(begin_ns, stamp_ns, task, seed, images, image_stamps_ns, state, previous)
        )
        began = time.perf_counter()
        actions = record.actions = predict_seeded(self._policy, images, state, task, seed, previous)  # (T, A)
        inference = time.perf_counter() - began
        if self._is_stopping.is_set():
            return observation.stamp_ns  # after a long time, maybe: the node may be active again by now
        chunk = Chunk(observation.stamp_ns, self._settings.period_ns, actions.astype(np.float64))
        self._newest_chunk = epoch, chunk
        plan = self._motion.submit_chunk(chunk, epoch)
        if plan is not None:
            figures.pipeline.add((self._hooks.now_ns() - observation.stamp_ns) * 1e-9 - inference)
        self._hooks.on_chunk(chunk, task)
        figures.inference.add(inference)
        figures.observation_age.add((begin_ns - observation.stamp_ns) * 1e-9)
        figures.chunk_rate.add(self._hooks.now_ns())
        figures.chunks += 1
        figures.missed_latencies += inference > self._settings.max_latency
        figures.newest_stamp_ns = observation.stamp_ns
        return observation.stamp_ns

    def _previous(self, stamp_ns: int, epoch: int) -> Continuation | None:
        """The actions that the next chunk continues; None after a hold or a change of the task."""
        if self._newest_chunk is None or self._newest_chunk[0] != epoch:
            return None
        recent = self.figures.inference.percentile(95)  # [s] NaN before the first
        delay_ns = 0 if math.isnan(recent) else round(recent * NANOSECONDS)
        return continuation(
            self._newest_chunk[1],
            self._motion.pipeline.plan,
            stamp_ns - self._history_ns,
            self._policy.horizon,
            self._hooks.now_ns() + delay_ns + FROZEN_INTERVALS * self._settings.period_ns,
        )
