# SPDX-License-Identifier: Apache-2.0
"""The policy node: takes cameras, joint states and an instruction; publishes checked trajectories."""

import contextlib
import functools
import gc
import math
import sys
import time
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import DitPolicyError, TaskError
from dit_policy_ros.core.incidents import IncidentRing, RecordedPipeline
from dit_policy_ros.core.motion import Chunk, MotionState
from dit_policy_ros.core.policy_interface import Policy, check_policy, check_task
from dit_policy_ros.core.problems import listing
from dit_policy_ros.policy import free_memory, load_policy
from dit_policy_ros.ros.common import (
    GuardedLifecycleNode,
    SensorSettings,
    SensorStreams,
    answer_arguments,
    declare_parameters,
    read_parameters,
    resolved_parameters,
    run_node,
    set_gil_switch_interval,
    steady_timer,
)
from dit_policy_ros.ros.controllers import ControllerInterface
from dit_policy_ros.ros.policy._clocks import clocks_of
from dit_policy_ros.ros.policy._control_watch import ControlSettings, ControlWatch
from dit_policy_ros.ros.policy._inference_worker import InferenceHooks, InferenceWorker, ReplanSettings
from dit_policy_ros.ros.policy._motion_gate import LATCHED, MotionGate, MotionHooks
from dit_policy_ros.ros.policy._node_state import Active, Configured, NodeState
from dit_policy_ros.ros.policy._parameters import POLICY_PARAMETERS
from dit_policy_ros.ros.policy._preflight import activation_problems, warm_up
from dit_policy_ros.ros.policy._reporter import PolicyReporter
from dit_policy_ros.ros.policy._settings import (
    check_incident_memory,
    chunk_timeout,
    motion_settings,
    policy_options,
)
from dit_policy_ros.ros.policy._shadow import ShadowControllerInterface
from dit_policy_ros.srv import SetTask

_PURPOSE = (
    "Runs a Multitask DiT policy on a two-armed robot: subscribes to cameras and joint states, publishes "
    "checked trajectories to the ros2_control controllers of the contract, and takes its instruction from "
    "~/set_task. It is a lifecycle node: configure loads and warms up the checkpoint, activate starts the "
    "motion. Its stops are not safety-rated."
)
ACKNOWLEDGE_TIMEOUT = 0.5  # [s] for each controller to acknowledge the last hold
JOIN_TIMEOUT = 10.0  # [s] for the inference thread to end
# Of the executor: more than there are callback groups (transitions, control, services, images, each gripper,
# ...), so that the e-stop always finds a free one. Threads are only made when they are needed.
THREADS = 24


class PolicyNode(GuardedLifecycleNode):
    """Lifecycle node ``policy``; the README lists its interfaces."""

    def __init__(self, **kwargs: Any) -> None:
        with resolved_parameters("policy", kwargs) as options:
            super().__init__("policy", automatically_declare_parameters_from_overrides=True, **options)
        self.state = NodeState()
        self._unfinished: InferenceWorker | None = None  # did not end in time at deactivation
        declare_parameters(self, POLICY_PARAMETERS)
        self.add_post_set_parameters_callback(self._on_parameters)
        self._control_group = MutuallyExclusiveCallbackGroup()
        service_group = MutuallyExclusiveCallbackGroup()
        serve = functools.partial(self.create_service, callback_group=service_group)
        serve(SetTask, "~/set_task", self._on_set_task)
        serve(Trigger, "~/resume", self._on_resume)
        # Of its own: the e-stop waits for no other service, timer or report.
        e_stop_group = MutuallyExclusiveCallbackGroup()
        self.create_service(SetBool, "~/e_stop", self._on_e_stop, callback_group=e_stop_group)
        self._reporter = PolicyReporter(self, service_group, self.state)

    # --- lifecycle -----------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Load and check everything. Nothing is published to the controllers yet."""
        self._refuse_while_inferring()
        contract, settings = read_parameters(self, POLICY_PARAMETERS)
        ring, clocks = IncidentRing(settings["incident_seconds"], time.monotonic_ns), clocks_of(self)
        pipeline = RecordedPipeline(
            contract.joints, contract.limits, contract.dt_ns, motion_settings(settings, contract), ring
        )
        self.until_cleanup.callback(free_memory)
        policy = load_policy(settings["checkpoint"], **policy_options(settings))
        check_policy(policy, contract)
        check_incident_memory(settings, contract, policy)
        latency = warm_up(policy, contract, settings, self.get_logger())  # [s]
        self._take_task(settings["task"], policy.known_tasks)
        controllers = (
            ShadowControllerInterface(self, contract)
            if settings["dry_run"]
            else ControllerInterface(self, contract, self._on_goal_rejected)
        )
        self.until_cleanup.callback(controllers.close)
        sensors = self._make_sensors(contract, settings, policy)
        self.until_cleanup.callback(sensors.close)
        hooks = MotionHooks(
            e_stop=self.state.e_stop,
            measured_pose=sensors.measured,
            chunk_timeout=chunk_timeout(settings, contract, policy, latency),
            logger=self.get_logger(),
        )
        motion = MotionGate(pipeline, contract, controllers, clocks, hooks)
        control_timer = steady_timer(
            self, settings["control_rate"], self._on_control_tick, self._control_group
        )
        control_timer.cancel()
        self.until_cleanup.callback(self._forget_configuration)
        self.state.configured = Configured(
            contract=contract,
            settings=settings,
            clocks=clocks,
            policy=policy,
            sensors=sensors,
            controllers=controllers,
            motion=motion,
            incident_ring=ring,
            control_timer=control_timer,
        )
        self._reporter.open(self.state.configured, self.until_cleanup)
        # The libraries' objects live until the process ends. Each scan of them would stop this process for
        # 0.1 s (measured with 390,000 objects), so the garbage collector must skip them.
        gc.collect()
        self.until_cleanup.callback(gc.unfreeze)
        gc.freeze()
        self.get_logger().info(f"configured: {summary(policy, settings['checkpoint'], contract.dt)}")
        self.get_logger().debug(policy.description)

    def preflight(self) -> None:
        """Refuse to activate, with everything that is wrong."""
        self._refuse_while_inferring()
        configured = self._require_configured()
        if not self.state.task:
            raise TaskError(
                "no task: set the parameter 'task' or call ~/set_task first"
                + _known_hint(configured.policy.known_tasks)
            )
        problems = activation_problems(
            self,
            configured.sensors.observations,
            configured.contract,
            configured.controllers,
            pose_tolerance=configured.motion.pipeline.settings.pose_tolerance,
            timeout=configured.settings["stream_timeout"],
            cancelled=self.is_shutting_down,
        )
        if self.state.e_stop.latched:
            problems.append(LATCHED)
        if problems:
            raise DitPolicyError("not safe to start:\n  - " + "\n  - ".join(problems))

    def start(self) -> None:
        """Start to infer. The first plan follows the first chunk."""
        configured = self._require_configured()
        settings, sensors, motion = configured.settings, configured.sensors, configured.motion
        pose = sensors.measured()  # (A,)
        if pose is None:
            raise DitPolicyError("the joint states became stale between preflight and start: activate again")
        pose, _ = configured.controllers.reference_pose(pose, motion.pipeline.settings.max_tracking_error)
        motion.set_velocity_scale(self.get_parameter("velocity_scale").value)
        motion.start(pose)
        watch = ControlWatch(
            motion,
            sensors.observations,
            sensors.faults,
            configured.controllers,
            configured.clocks,
            ControlSettings(
                period=1.0 / settings["control_rate"], recovery_time=lambda: settings["recovery_time"]
            ),
        )
        worker = InferenceWorker(
            configured.policy,
            sensors.observations,
            motion,
            configured.incident_ring,
            ReplanSettings(
                period_ns=configured.contract.dt_ns,
                replan_interval=settings["replan_interval"],
                max_latency=settings["max_latency"] or math.inf,
                encode_on_arrival=settings["encode_on_arrival"],
            ),
            InferenceHooks(
                task=lambda: self.state.task,
                now_ns=configured.clocks.now_ns,
                on_chunk=self._publish_chunk,
                logger=self.get_logger(),
            ),
        )
        self.state.active = Active(worker, watch)
        self._reporter.activate()
        configured.control_timer.reset()
        worker.start()
        self.get_logger().info(f"active: {self.state.task!r}")

    def stop(self) -> None:
        """HOLD at once, without waiting for the present inference; then wait for the worker."""
        configured, active = self._require_configured(), self.state.active
        with contextlib.ExitStack() as steps:  # last step first; one that fails stops no other
            if active is not None:
                steps.callback(self._join, active.worker)
            steps.callback(configured.motion.stop, "deactivated", ACKNOWLEDGE_TIMEOUT)
            if active is not None:
                steps.callback(active.worker.request_stop)
            steps.callback(configured.control_timer.cancel)
            steps.callback(self._forget_activation)  # so that the last hold is not reported as an incident
            self._reporter.report_holds()

    # --- services and callbacks ----------------------------------------------------------------------------

    def _on_set_task(self, request: SetTask.Request, response: SetTask.Response) -> SetTask.Response:
        if (configured := self.state.configured) is None:
            response.message = "the policy node is not configured: no checkpoint is loaded yet"
            return response
        known = configured.policy.known_tasks
        response.known_tasks = list(known)
        try:
            check_task(request.task, known)
        except TaskError as error:
            response.message = f"{error}; the task is still {self.state.task!r}"
            return response
        if request.task == self.state.task:  # keep the chunks: a user interface may repeat its request
            response.success, response.message = True, f"the task is {request.task!r} already"
            return response
        self.state.task = request.task
        configured.motion.change_task()
        response.success, response.message = True, f"the task is now {request.task!r}"
        is_known = not known or request.task in known
        if not is_known:
            response.message += " (the checkpoint was not trained on it" + _known_hint(known) + ")"
        self._reporter.on_task_changed(response.message, is_known)
        return response

    def _on_e_stop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success = True
        if request.data:
            self.state.e_stop.latch()
            response.message = "e-stop latched: clear it with data: false, then call ~/resume"
        else:
            self.state.e_stop.clear()
            response.message = "e-stop cleared: call ~/resume to move again"
        return response

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        configured, active = self.state.configured, self.state.active
        if configured is None or active is None:
            response.message = "the policy node is not active"
        elif configured.motion.state is not MotionState.HOLD:
            response.success, response.message = True, "not holding"
        elif self.state.e_stop.latched:
            response.message = LATCHED
        elif refusal := active.watch.fault() or active.watch.other_commander() or configured.motion.resume():
            response.message = f"cannot resume yet: {refusal}"
        else:
            response.success, response.message = True, "resumed, with a soft start"
        return response

    def _on_parameters(self, changes: list[Parameter]) -> None:
        if (configured := self.state.configured) is None:
            return  # configure reads them
        for change in changes:
            if change.name in configured.settings:
                configured.settings[change.name] = change.value
                self.get_logger().info(f"{change.name}: {change.value}")
            if change.name == "velocity_scale":
                configured.motion.set_velocity_scale(change.value)

    def _on_goal_rejected(self, reason: str) -> None:
        if (configured := self.state.configured) is not None:
            configured.motion.hold(reason)

    def _on_image(self) -> None:
        if (active := self.state.active) is not None:
            active.worker.wake()

    def _on_control_tick(self) -> None:
        if (active := self.state.active) is not None:
            active.watch.tick()
            self._reporter.on_control_tick()

    def _publish_chunk(self, chunk: Chunk, task: str) -> None:
        self._reporter.on_chunk(chunk, task)

    # --- helpers -------------------------------------------------------------------------------------------

    def _make_sensors(self, contract: Contract, settings: dict[str, Any], policy: Policy) -> SensorStreams:
        return SensorStreams(
            self,
            contract,
            SensorSettings(
                n_obs_steps=policy.n_obs_steps,
                cameras=tuple(policy.image_shapes),
                frozen_after=settings["frozen_after"],
                read_joints_on_demand=True,
            ),
            on_image=self._on_image,
            events=self._reporter.events,
        )

    def _join(self, worker: InferenceWorker) -> None:
        if not worker.join(JOIN_TIMEOUT):
            self._unfinished = worker
            self.get_logger().error(
                f"the inference thread has not ended within {JOIN_TIMEOUT:g} s. Its result will be dropped. "
                "Until it ends, the node can be neither activated nor configured"
            )

    def _refuse_while_inferring(self) -> None:
        """A policy is not thread-safe, and a hung one keeps its memory: no second inference beside it."""
        if self._unfinished is not None and not self._unfinished.join(0.0):
            raise DitPolicyError(
                "the last inference before deactivation has still not ended: the policy hangs, or its device "
                "does. Wait and try again, or end this process and start it again"
            )
        self._unfinished = None

    def _forget_activation(self) -> None:
        self.state.active = None

    def _forget_configuration(self) -> None:
        self.state.configured = None

    def _take_task(self, parameter: str, known_tasks: tuple[str, ...]) -> None:
        """Take the parameter ``task`` if it has changed; otherwise keep what ~/set_task set since."""
        state = self.state
        if parameter and parameter != state.task_parameter:
            check_task(parameter, known_tasks)
            state.task = state.task_parameter = parameter
        elif parameter != state.task:
            self.get_logger().info(f"the task is still {state.task!r}, as ~/set_task set it")

    def _require_configured(self) -> Configured:
        if self.state.configured is None:
            raise ValueError("the node is not configured")
        return self.state.configured


def summary(policy: Policy, checkpoint: str, dt: float) -> str:
    """What was loaded, for who runs the robot: the checkpoint, what it reads, gives and knows.

    dt: time between two actions [s].
    """
    covered = (policy.horizon - policy.n_obs_steps) * dt  # [s] from the first action to the last
    return (
        f"{checkpoint} on {policy.device} ({policy.backend}); it reads "
        f"{listing([*policy.image_shapes, 'joint states'])}, and a chunk covers {covered:.2g} s"
        f"{_known_hint(policy.known_tasks)}"
    )


def _known_hint(known_tasks: tuple[str, ...]) -> str:
    return f"; it knows: {', '.join(map(repr, known_tasks))}" if known_tasks else ""


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    answer = answer_arguments("policy_node", _PURPOSE, POLICY_PARAMETERS, args)
    if answer is not None:
        return answer
    set_gil_switch_interval()
    return run_node(PolicyNode, args, threads=THREADS)


if __name__ == "__main__":
    sys.exit(main())
