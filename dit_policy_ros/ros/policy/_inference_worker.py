# SPDX-License-Identifier: Apache-2.0
"""The thread that turns observations into chunks, apart from every callback."""

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
from dit_policy_ros.core.motion import FROZEN_INTERVALS, Chunk, Continuation, MotionState, continuation
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.core.statistics import RecentRate, RecentValues
from dit_policy_ros.ros.common import lower_thread_priority
from dit_policy_ros.ros.policy._frame_decoder import FrameDecoder
from dit_policy_ros.ros.policy._motion_gate import MotionGate

# Without a new frame the worker looks this often whether it is due or wanted no more [s].
_POLL = 0.02


@dataclass(slots=True)
class InferenceFigures:
    """What the status says about inference."""

    inference: RecentValues = field(default_factory=RecentValues)  # [s] the policy alone
    pipeline: RecentValues = field(default_factory=RecentValues)  # [s] image stamp to publication, without it
    observation_age: RecentValues = field(default_factory=RecentValues)  # [s] when inference began
    chunk_rate: RecentRate = field(default_factory=RecentRate)
    chunks: int = 0
    missed_latencies: int = 0  # inferences that took longer than they may
    newest_stamp_ns: int | None = None  # of the newest chunk's observation


class InferenceWorker:
    """Observes, infers and offers the chunk, at most once per replan interval."""

    def __init__(
        self,
        policy: Policy,
        streams: ObservationBuilder,
        motion: MotionGate,
        task: Callable[[], str],
        now_ns: Callable[[], int],
        period_ns: int,
        replan_interval: float,
        max_latency: float,
        encode_on_arrival: bool,
        on_chunk: Callable[[Chunk, str], None],
        ring: IncidentRing,
        logger: RcutilsLogger,
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            task: the instruction in force.
            now_ns: the node's clock [ns].
            period_ns: spacing of the policy's actions [ns].
            replan_interval: time between the observations of two inferences [s], to the nearest period.
            max_latency: an inference that takes longer is counted [s].
            encode_on_arrival: read frames when they come, not when a chunk is due.
            on_chunk: told every chunk and its task, for plots.
            ring: gets what was inferred, and from what.
        """
        self.figures = InferenceFigures()
        self._policy, self._streams, self._motion = policy, streams, motion
        self._task, self._now_ns, self._on_chunk, self._logger = task, now_ns, on_chunk, logger
        self._ring = ring
        self._period_ns, self._max_latency = period_ns, max_latency
        # Half a period of slack: images tick at their rate only on average, and one that comes a moment
        # early would cost a whole period more.
        self._interval_ns = round(replan_interval * NANOSECONDS) - period_ns // 2
        self._encodes_early = encode_on_arrival
        self._newest: tuple[int, Chunk] | None = None  # with the epoch that it was inferred in
        self._history_ns = (policy.n_obs_steps - 1) * period_ns  # of an observation
        self._decode = FrameDecoder(policy.image_shapes)
        self._wanted = threading.Event()  # new data may be there
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """Say that a new sample has come."""
        self._wanted.set()

    def end(self) -> None:
        """Ask the thread to stop after the inference under way, without waiting for it."""
        self._ended.set()
        self._wanted.set()

    def join(self, timeout: float) -> bool:
        """Wait for the thread [s at most]; False where it is still inferring."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        lower_thread_priority()
        observed_ns, encoded_ns, began_ns = -1, -1, -self._interval_ns
        while not self._ended.is_set():
            self._wanted.wait(_POLL)
            self._wanted.clear()
            if self._motion.state is MotionState.HOLD:
                continue
            epoch = self._motion.epoch
            try:
                stamp_ns = self._streams.observation_stamp(self._now_ns())
                if stamp_ns == observed_ns or not self._motion.may_observe(stamp_ns - self._history_ns):
                    continue  # nothing new to see, or the arms' turn
                if self._encodes_early:  # whenever it is time: the newest frames have been read
                    is_due = time.monotonic_ns() - began_ns >= self._interval_ns
                else:  # by stamps, so that it begins with an observation that is new, not just the newest
                    is_due = not 0 <= stamp_ns - observed_ns < self._interval_ns  # a clock may be set back
                if is_due:
                    began_ns = time.monotonic_ns()
                    observed_ns = self._infer(epoch)
                elif self._encodes_early and stamp_ns != encoded_ns:
                    self._policy.encode(self._decode(self._streams.build(self._now_ns())))
                    encoded_ns = stamp_ns
            except StaleObservation:
                continue  # the control timer holds, with the reason
            except DitPolicyError as error:
                self._motion.hold(f"inference refused its input: {error}")
            except Exception as error:  # noqa: BLE001 - whatever broke in the policy, the arms must stop
                self._logger.error(f"unexpected error during inference:\n{traceback.format_exc()}")
                self._motion.hold(f"inference failed: {type(error).__name__}: {error}")

    def _infer(self, epoch: int) -> int:
        task, figures = self._task(), self.figures
        begin_ns = self._now_ns()
        observation = self._streams.build(begin_ns)
        images = self._decode(observation)  # (n_obs, H, W, 3) each
        known = self._known(observation.stamp_ns, epoch) if self._policy.uses_previous else None
        state, seed = observation.state.astype(np.float32), secrets.randbits(63)  # (n_obs, D)
        stamp_ns, image_stamps_ns = observation.stamp_ns, observation.image_stamps_ns
        record = self._ring.add_inference(
            Inference(begin_ns, stamp_ns, task, seed, images, image_stamps_ns, state, known)
        )
        began = time.perf_counter()
        actions = record.actions = predict_seeded(self._policy, images, state, task, seed, known)  # (T, A)
        inference = time.perf_counter() - began
        chunk = Chunk(observation.stamp_ns, self._period_ns, actions.astype(np.float64))
        self._newest = epoch, chunk
        plan = self._motion.offer(chunk, epoch)
        if plan is not None:
            figures.pipeline.add((self._now_ns() - observation.stamp_ns) * 1e-9 - inference)
        self._on_chunk(chunk, task)
        figures.inference.add(inference)
        figures.observation_age.add((begin_ns - observation.stamp_ns) * 1e-9)
        figures.chunk_rate.add(self._now_ns())
        figures.chunks += 1
        figures.missed_latencies += inference > self._max_latency
        figures.newest_stamp_ns = observation.stamp_ns
        return observation.stamp_ns

    def _known(self, stamp_ns: int, epoch: int) -> Continuation | None:
        """What the next sample goes on from; nothing after a hold or another task."""
        if self._newest is None or self._newest[0] != epoch:
            return None
        recent = self.figures.inference.percentile(95)  # [s] NaN before the first
        delay_ns = 0 if math.isnan(recent) else round(recent * NANOSECONDS)
        return continuation(
            self._newest[1],
            self._motion.pipeline.plan,
            stamp_ns - self._history_ns,
            self._policy.horizon,
            self._now_ns() + delay_ns + FROZEN_INTERVALS * self._period_ns,
        )
