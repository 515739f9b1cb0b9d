# SPDX-License-Identifier: Apache-2.0
"""The inference thread: answers the newest request, so that no callback waits for the policy."""

import secrets
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.errors import DitPolicyError, StaleObservation
from dit_policy_ros.core.incidents import IncidentRing, Inference, predict_seeded
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.core.poses import EntryLayout
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.ros.common import lower_thread_priority
from dit_policy_ros.ros.inference._frame_decoder import FrameDecoder
from dit_policy_ros.ros.inference_protocol import Answer, Latencies, Request

_POLL = 0.02  # [s] how often the thread checks whether to stop or to infer when no image arrives


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What every answer says, and how to infer.

    Attributes:
        session: of the present configure.
        policy: hash of the checkpoint.
        joints: of the actions' columns.
        layout: which entries the policy has for them.
        period_ns: between two actions of a chunk [ns].
        encode_on_arrival: encode frames as they arrive, not when a chunk is due.
    """

    session: int
    policy: str
    joints: tuple[str, ...]
    layout: EntryLayout
    period_ns: int
    encode_on_arrival: bool


@dataclass(frozen=True, slots=True)
class WorkerHooks:
    """What the worker needs from the node.

    Attributes:
        now_ns: reads the node's clock [ns].
        on_answer: called with each answer, in the worker's thread.
        logger: gets the traceback of an unexpected error.
    """

    now_ns: Callable[[], int]
    on_answer: Callable[[Answer], None]
    logger: RcutilsLogger


class InferenceWorker:
    """Waits for an observation that fits the newest request, infers and answers; each request once."""

    def __init__(
        self,
        policy: Policy,
        observations: ObservationBuilder,
        ring: IncidentRing,
        settings: WorkerSettings,
        hooks: WorkerHooks,
    ) -> None:
        """Prepare the thread; ``start`` starts it.

        Args:
            policy: makes the chunks.
            observations: builds the policy's input.
            ring: records each inference and its input.
            settings: see there.
            hooks: what the worker needs from the node.
        """
        self._policy, self._observations, self._ring = policy, observations, ring
        self._settings, self._hooks = settings, hooks
        self._history_ns = (policy.n_obs_steps - 1) * settings.period_ns  # length of an observation
        self._decode = FrameDecoder(policy.image_shapes)
        self._request: tuple[Request, float] | None = None  # and when it came [s], steady
        self._answered: int | None = None  # id of the last request that was answered
        self._busy_since: float | None = None  # [s] steady; None while no inference runs
        self._wake_up = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)

    @property
    def busy(self) -> float:
        """How long the present inference has been running [s]; 0 if none runs."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self, request: Request) -> None:
        """Answer this request from now on, and no earlier one. A repeated one changes nothing."""
        present = self._request
        if present is None or present[0].id != request.id:
            self._request = request, time.monotonic()
            self._wake_up.set()

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
        encoded_ns = -1
        while not self._is_stopping.is_set():
            self._wake_up.wait(_POLL)
            self._wake_up.clear()
            if (present := self._request) is None:
                continue
            request, arrived = present
            is_ours = request.session == self._settings.session
            if not is_ours or not request.wanted or request.id == self._answered:
                continue
            try:
                now_ns = self._hooks.now_ns()
                stamp_ns = self._observations.observation_stamp(now_ns)
                is_due = stamp_ns >= request.earliest_ns and now_ns >= request.not_before_ns
                if is_due:
                    self._busy_since = time.monotonic()
                    self._answer(self._infer(request, self._busy_since - arrived))
                elif self._settings.encode_on_arrival and stamp_ns != encoded_ns:
                    self._busy_since = time.monotonic()
                    self._policy.encode(self._decode.newest(self._observations, now_ns)[1])
                    encoded_ns = stamp_ns
            except StaleObservation:
                continue  # the policy node sees the streams' state, holds and names the stream
            except DitPolicyError as error:
                fault = f"inference refused its input: {error}"
                self._answer(self._without_actions(request, fault))
            except Exception as error:  # noqa: BLE001 - whatever broke in the policy, the arms must stop
                self._hooks.logger.error(f"unexpected error during inference:\n{traceback.format_exc()}")
                fault = f"inference failed: {type(error).__name__}: {error}"
                self._answer(self._without_actions(request, fault))
            finally:
                self._busy_since = None

    def _answer(self, answer: Answer) -> None:
        if self._is_stopping.is_set():
            return  # after a long time, maybe: the node may be active again by now
        self._answered = answer.request
        self._hooks.on_answer(answer)

    def _without_actions(self, request: Request, problem: str) -> Answer:
        settings = self._settings
        return Answer(request.id, request.epoch, settings.session, settings.policy, problem)

    def _infer(self, request: Request, waiting: float) -> Answer:
        """Infer the chunk for a request, which has waited this long [s]."""
        settings, begin_ns, began = self._settings, self._hooks.now_ns(), time.perf_counter()
        observation, decoded = self._decode.newest(self._observations, begin_ns)
        images: dict[str, Any] = decoded  # (n_obs, H, W, 3) each
        stamp_ns, state = observation.stamp_ns, self._policy_state(observation.state)  # (n_obs, D)
        previous = None
        if self._policy.uses_previous and request.committed is not None:
            previous = request.committed.continuation(
                begin_ns, stamp_ns, self._history_ns, settings.period_ns, self._policy.horizon
            )
        if previous is not None:
            previous = replace(previous, actions=settings.layout.to_entries(previous.actions))
        seed = secrets.randbits(63)
        record = self._ring.add_inference(
            Inference(
                begin_ns, stamp_ns, request.task, seed, images, observation.image_stamps_ns, state, previous
            )
        )
        read = time.perf_counter()
        self._policy.encode(images)
        encoded = time.perf_counter()
        entries = predict_seeded(self._policy, images, state, request.task, seed, previous)  # (T, E)
        record.actions = entries
        actions = settings.layout.to_joints(entries).astype(np.float32)  # (T, A)
        return Answer(
            request=request.id,
            epoch=request.epoch,
            session=settings.session,
            policy=settings.policy,
            stamp_ns=stamp_ns,
            period_ns=settings.period_ns,
            joints=settings.joints,
            actions=actions,
            seed=seed,
            unseen_state=self._policy.unseen_state,
            observation_age=(begin_ns - stamp_ns) * 1e-9,
            latencies=Latencies(waiting, read - began, encoded - read, time.perf_counter() - encoded),
        )

    def _policy_state(self, state: np.ndarray) -> np.ndarray:
        """The state (n_obs, D) with the policy's entries for the joints; the further vectors follow them."""
        joints, further = np.split(state, [len(self._settings.joints)], axis=1)
        entries = self._settings.layout.to_entries(joints)  # (n_obs, E)
        return np.concatenate([entries, further], axis=1).astype(np.float32)
