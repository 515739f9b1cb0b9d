# SPDX-License-Identifier: Apache-2.0
"""The inference node: cameras and joint states in, chunks of actions out, one for each request."""

import gc
import secrets
import sys
import threading
import time
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from std_srvs.srv import Trigger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.incidents import IncidentRing
from dit_policy_ros.core.policy_interface import Policy, check_policy, judge_task, match_policy
from dit_policy_ros.msg import ActionChunk, InferenceRequest, InferenceStatus
from dit_policy_ros.policy import checkpoint_hash, free_memory, load_policy, pinned
from dit_policy_ros.ros.common import (
    GuardedLifecycleNode,
    SensorSettings,
    SensorStreams,
    declare_parameters,
    qos,
    read_parameters,
    resolved_parameters,
    run_node,
    stamp_ns,
    steady_timer,
    to_stamp,
)
from dit_policy_ros.ros.inference._arguments import NODE_PARAMETERS, answer
from dit_policy_ros.ros.inference._observation_writer import save_observations
from dit_policy_ros.ros.inference._state import Configured
from dit_policy_ros.ros.inference._worker import InferenceWorker, WorkerHooks, WorkerSettings
from dit_policy_ros.ros.inference_protocol import (
    INFERENCE_NODE,
    Answer,
    answer_message,
    describe,
    fill_familiarity,
    fill_response,
    policy_options,
    request_from,
    stream_state,
)
from dit_policy_ros.srv import DescribePolicy, SaveObservations, SetTask

STATUS_RATE = 20.0  # [Hz] signs of life
JOIN_TIMEOUT = 10.0  # [s] for the inference thread to end
_REPEAT_AFTER = 0.15  # [s] a request that still comes after its answer: the answer was lost
THREADS = 12
_STATES = {
    "unconfigured": InferenceStatus.UNCONFIGURED,
    "inactive": InferenceStatus.INACTIVE,
    "active": InferenceStatus.ACTIVE,
}


class InferenceNode(GuardedLifecycleNode):
    """Lifecycle node ``inference``; the README lists its interfaces."""

    def __init__(self, **kwargs: Any) -> None:
        names = tuple(entry.name for entry in NODE_PARAMETERS)
        with resolved_parameters(INFERENCE_NODE, kwargs, also=("policy", names)) as options:
            super().__init__(INFERENCE_NODE, automatically_declare_parameters_from_overrides=True, **options)
        self._instance = secrets.randbits(63) + 1
        self.configured: Configured | None = None
        self.worker: InferenceWorker | None = None  # while active
        self._unfinished: InferenceWorker | None = None  # did not end in time at deactivation
        self._newest: tuple[int, int, int] = (0, 0, 0)  # request: id, its stamp, its arrival [ns]
        self._last_answer: tuple[ActionChunk, float] | None = None  # and when it was sent [s], steady
        self._answer_lock = threading.Lock()
        declare_parameters(self, NODE_PARAMETERS)
        self._chunks = self.create_publisher(ActionChunk, "~/chunk", qos.INFERENCE)
        self._status = self.create_publisher(InferenceStatus, "~/status", qos.SIGNS_OF_LIFE)
        life, requests = MutuallyExclusiveCallbackGroup(), MutuallyExclusiveCallbackGroup()
        self.create_subscription(
            InferenceRequest, "~/request", self._on_request, qos.INFERENCE, callback_group=requests
        )
        # Writing an incident takes long and must not keep the description waiting.
        services = ReentrantCallbackGroup()
        self.create_service(DescribePolicy, "~/describe_policy", self._on_describe, callback_group=services)
        self.create_service(SetTask, "~/judge_task", self._on_judge, callback_group=services)
        self.create_service(Trigger, "~/accept_images", self._on_accept_images, callback_group=services)
        self.create_service(SaveObservations, "~/save_observations", self._on_save, callback_group=services)
        steady_timer(self, STATUS_RATE, self._publish_status, life)

    # --- lifecycle -----------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Load, check and warm up the policy; subscribe to the cameras."""
        self._refuse_while_inferring()
        contract, settings = read_parameters(self, NODE_PARAMETERS)
        ring = IncidentRing(settings["incident_seconds"], time.monotonic_ns)
        self.until_cleanup.callback(free_memory)
        settings["checkpoint"] = pinned(settings["checkpoint"])  # so that an incident names the commit
        policy = match_policy(
            load_policy(settings["checkpoint"], **policy_options(settings)),
            contract.layout.names,
            contract.dataset_names,
            contract.trained_cameras,
            contract.vectors,
        )
        check_policy(policy, contract)
        latency = self._warm_up(policy, settings)  # [s]
        session = secrets.randbits(63) + 1
        described = describe(
            policy,
            session,
            settings["checkpoint"],
            checkpoint_hash(settings["checkpoint"]),
            latency,
            settings,
        )
        sensors = self._make_sensors(contract, settings, policy)
        self.until_cleanup.callback(sensors.close)
        self.until_cleanup.callback(self._forget)
        self.configured = Configured(contract, settings, policy, sensors, ring, described)
        # The libraries' objects live until the process ends. A full scan of them takes 0.2 s (400,000
        # objects), during which nothing is inferred and no sign of life is sent, so the garbage collector
        # must skip them.
        gc.collect()
        self.until_cleanup.callback(gc.unfreeze)
        gc.freeze()
        self.get_logger().debug(policy.description)

    def preflight(self) -> None:
        """Refuse to activate while an inference of the last activation still runs."""
        self._refuse_while_inferring()

    def start(self) -> None:
        """Answer requests from now on."""
        if (configured := self.configured) is None:
            raise ValueError("the node is not configured")
        described = configured.described
        settings = WorkerSettings(
            session=described.session,
            policy=described.policy,
            joints=configured.contract.joints,
            layout=configured.contract.layout,
            period_ns=configured.contract.dt_ns,
            encode_on_arrival=configured.settings["encode_on_arrival"],
        )
        hooks = WorkerHooks(now_ns=self._now_ns, on_answer=self._send, logger=self.get_logger())
        self.worker = InferenceWorker(
            configured.policy, configured.sensors.observations, configured.ring, settings, hooks
        )
        self.worker.start()

    def stop(self) -> None:
        """Answer no more; wait for the present inference."""
        worker, self.worker = self.worker, None
        if worker is None:
            return
        worker.request_stop()
        if not worker.join(JOIN_TIMEOUT):
            self._unfinished = worker
            self.get_logger().error(
                f"the inference thread has not ended within {JOIN_TIMEOUT:g} s. Its result will be dropped. "
                "Until it ends, the node can be neither activated nor configured"
            )

    # --- callbacks -----------------------------------------------------------------------------------------

    def _on_request(self, message: InferenceRequest) -> None:
        self._newest = message.id, stamp_ns(message.stamp), self._now_ns()
        if (worker := self.worker) is None:
            return
        try:
            request = request_from(message)
        except ValueError as error:
            self.get_logger().error(f"a request is malformed: {error}", throttle_duration_sec=5.0)
            return
        worker.ask(request)
        with self._answer_lock:
            last = self._last_answer
            is_lost = last is not None and last[0].request == request.id and request.wanted
            if last is not None and is_lost and time.monotonic() - last[1] > _REPEAT_AFTER:
                self._chunks.publish(last[0])
                self._last_answer = last[0], time.monotonic()

    def _send(self, answer: Answer) -> None:
        message = answer_message(answer)
        with self._answer_lock:
            self._chunks.publish(message)
            self._last_answer = message, time.monotonic()

    def _on_image(self) -> None:
        if (worker := self.worker) is not None:
            worker.wake()

    def _publish_status(self) -> None:
        configured, worker = self.configured, self.worker
        number, sent_ns, received_ns = self._newest
        message = InferenceStatus(
            instance=self._instance,
            state=_STATES.get(self.lifecycle_state, InferenceStatus.UNCONFIGURED),
            in_transition=self.in_transition,
            session=0 if configured is None else configured.described.session,
            request=number,
            request_stamp=to_stamp(sent_ns),
            request_received=to_stamp(received_ns),
            busy=0.0 if worker is None else worker.busy,
        )
        if configured is not None:
            faults = configured.sensors.faults(self._now_ns())
            volume = configured.sensors.bytes_per_second()
            message.streams = [
                stream_state(stream, faults.get(stream.name, ""), volume.get(stream.name, 0.0))
                for stream in configured.sensors.observations.streams
            ]
        message.stamp = to_stamp(self._now_ns())
        self._status.publish(message)

    def _on_judge(self, request: SetTask.Request, response: SetTask.Response) -> SetTask.Response:
        if (configured := self.configured) is None:
            return response
        try:
            return fill_familiarity(response, judge_task(configured.policy, request.task))
        except DitPolicyError as error:
            response.message = str(error)
            return response

    def _on_accept_images(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if (configured := self.configured) is not None:
            configured.sensors.accept_images()
            response.success, response.message = True, "unchanged images count from now on alone"
        return response

    def _on_describe(
        self, _: DescribePolicy.Request, response: DescribePolicy.Response
    ) -> DescribePolicy.Response:
        if (configured := self.configured) is not None:
            fill_response(configured.described, response)
        response.message = self.last_failure
        return response

    def _on_save(
        self, request: SaveObservations.Request, response: SaveObservations.Response
    ) -> SaveObservations.Response:
        if (configured := self.configured) is None:
            response.message = "the inference node is not configured"
            return response
        described = configured.described

        def facts() -> dict[str, Any]:
            return {
                "parameters": dict(described.parameters),
                "steps": described.steps,
                "device": described.device,
                "policy": described.description,
                "hash": described.policy,
                "host": described.host,
            }

        save_observations(request, response, configured.ring, facts, self.get_logger())
        return response

    # --- helpers -------------------------------------------------------------------------------------------

    def _make_sensors(self, contract: Contract, settings: dict[str, Any], policy: Policy) -> SensorStreams:
        return SensorStreams(
            self,
            contract,
            SensorSettings(
                n_obs_steps=policy.n_obs_steps,
                cameras=tuple(policy.image_shapes),
                vectors=tuple(vector.name for vector in policy.vectors),
                frozen_after=settings["frozen_after"],
                read_joints_on_demand=True,
            ),
            on_image=self._on_image,
        )

    def _warm_up(self, policy: Policy, settings: dict[str, Any]) -> float:
        """Run some inferences; with max_latency, choose the number of steps first. Returns their p95 [s]."""
        logger = self.get_logger()
        if settings["max_latency"]:
            budget = policy.fit_steps(settings["max_latency"], settings["warm_up_chunks"])
            logger.info(
                f"{budget.steps} steps fit into max_latency {settings['max_latency']:g} s: "
                f"{budget.latency_p95:.3f} s (p95)"
            )
        latencies = policy.warm_up(settings["warm_up_chunks"])  # (n,) [s]
        # The first third is slower, because memory is allocated.
        p95 = float(np.percentile(latencies[len(latencies) // 3 :], 95))  # [s]
        logger.info(
            f"inference takes {p95 * 1e3:.0f} ms (p95 of {len(latencies)} on {policy.device}: "
            f"{policy.backend})"
        )
        return p95

    def _refuse_while_inferring(self) -> None:
        """A policy is not thread-safe, and a hung one keeps its memory: no second inference beside it."""
        if self._unfinished is not None and not self._unfinished.join(0.0):
            raise DitPolicyError(
                "the last inference before deactivation has still not ended: the policy hangs, or its device "
                "does. Wait and try again, or end this process and start it again"
            )
        self._unfinished = None

    def _forget(self) -> None:
        self.configured = None

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    code = answer(args)
    return code if code is not None else run_node(InferenceNode, args, threads=THREADS)


if __name__ == "__main__":
    sys.exit(main())
