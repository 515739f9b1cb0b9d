# SPDX-License-Identifier: Apache-2.0
"""The policy node: takes cameras, joint states and an instruction; publishes checked trajectories."""

import contextlib
import functools
import math
import sys
import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import DitPolicyError, TaskError
from dit_policy_ros.core.incidents import IncidentRing, RecordedPipeline
from dit_policy_ros.core.motion import MotionState
from dit_policy_ros.core.policy_interface import check_policy
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.takeover import Takeover
from dit_policy_ros.msg import InferenceStatus
from dit_policy_ros.ros.common import (
    GuardedLifecycleNode,
    SensorSettings,
    SensorStreams,
    answer_arguments,
    declare_parameters,
    read_parameters,
    resolved_parameters,
    run_node,
)
from dit_policy_ros.ros.controllers import ControllerInterface
from dit_policy_ros.ros.inference_link import (
    WARN,
    InferenceLink,
    InferenceSide,
    Judged,
    LinkSettings,
    ReplanSettings,
    judge_instruction,
    known_hint,
    summary,
)
from dit_policy_ros.ros.inference_protocol import PolicyDescription, policy_options
from dit_policy_ros.ros.policy._clocks import Clocks, clocks_of
from dit_policy_ros.ros.policy._control_loop import ControlLoop, Pace, Source
from dit_policy_ros.ros.policy._control_watch import ControlWatch, WatchedInputs, control_settings
from dit_policy_ros.ros.policy._inputs import input_fault
from dit_policy_ros.ros.policy._motion_gate import LATCHED, MotionGate, MotionHooks
from dit_policy_ros.ros.policy._node_state import Active, Configured, NodeState
from dit_policy_ros.ros.policy._parameters import POLICY_PARAMETERS
from dit_policy_ros.ros.policy._preflight import activation_problems, check_latency
from dit_policy_ros.ros.policy._reporter import PolicyReporter
from dit_policy_ros.ros.policy._settings import (
    check_incident_memory,
    chunk_timeout,
    leader_access,
    motion_settings,
)
from dit_policy_ros.ros.policy._shadow import ShadowControllerInterface
from dit_policy_ros.ros.teleoperation import TakeoverServices
from dit_policy_ros.srv import SetTask

_PURPOSE = (
    "Runs a Multitask DiT policy on a two-armed robot: asks an inference node for chunks of actions, "
    "publishes checked trajectories to the ros2_control controllers of the contract, and takes its "
    "instruction from ~/set_task. It is a lifecycle node: configure loads and warms up the checkpoint, in an "
    "inference node that it starts, and activate starts the motion. Its stops are not safety-rated."
)
ACKNOWLEDGE_TIMEOUT = 0.5  # [s] for each controller to acknowledge the last hold
INCIDENTS_WITHIN = 8.0  # [s] that the end of the process waits for the last incident
# Of the executor: more than there are callback groups (transitions, control, services, images, each gripper,
# ...), so that the e-stop always finds a free one. Threads are only made when they are needed.
THREADS = 24


class PolicyNode(GuardedLifecycleNode):
    """Lifecycle node ``policy``; the README lists its interfaces."""

    def __init__(self, **kwargs: Any) -> None:
        with resolved_parameters("policy", kwargs) as options:
            super().__init__("policy", automatically_declare_parameters_from_overrides=True, **options)
        self.state = NodeState()
        declare_parameters(self, POLICY_PARAMETERS)
        self._inference = InferenceSide(self, kwargs.get("cli_args") or (), self._on_status)
        self._judge = functools.partial(judge_instruction, ask=self._inference.judge)
        self.add_post_set_parameters_callback(self._on_parameters)
        service_group = MutuallyExclusiveCallbackGroup()
        serve = functools.partial(self.create_service, callback_group=service_group)
        serve(SetTask, "~/set_task", self._on_set_task)
        serve(Trigger, "~/resume", self._on_resume)
        self._takeover = TakeoverServices(self, service_group, lambda: self.state.watch)
        # Of its own: the e-stop waits for no other service, timer or report.
        e_stop_group = MutuallyExclusiveCallbackGroup()
        self.create_service(SetBool, "~/e_stop", self._on_e_stop, callback_group=e_stop_group)
        watch_group = MutuallyExclusiveCallbackGroup()
        self.create_subscription(KeyValue, "~/heartbeat", self.state.hear, 10, callback_group=watch_group)
        self._reporter = PolicyReporter(self, service_group, self.state)

    def prepare_inference(self) -> None:
        """Start the inference process now, if there will be one: it takes seconds."""
        self._inference.supervisor(self.get_parameter("inference").value).prepare()

    # --- lifecycle -----------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Load and check everything. Nothing is published to the controllers yet."""
        contract, settings = read_parameters(self, POLICY_PARAMETERS)
        policy_options(settings)  # what contradicts the pacing is refused before anything is loaded
        ring, clocks = IncidentRing(settings["incident_seconds"], time.monotonic_ns), clocks_of(self)
        pipeline = RecordedPipeline(
            contract.joints, contract.limits, contract.dt_ns, motion_settings(settings, contract), ring
        )
        supervisor = self._inference.supervisor(settings["inference"])
        self.until_cleanup.callback(supervisor.clean_up)
        policy = supervisor.configure()
        settings["checkpoint"] = policy.checkpoint  # so that an incident names a checkpoint's commit
        check_policy(policy, contract)
        check_incident_memory(settings, contract, policy)
        lead = float(np.max(pipeline.settings.lead))  # [s]
        check_latency(policy, contract, settings, self.get_logger(), lead)
        self._take_task(settings["task"], policy.known_tasks, settings["unknown_tasks"])
        controllers = (
            ShadowControllerInterface(self, contract)
            if settings["dry_run"]
            else ControllerInterface(self, contract, self._on_goal_rejected)
        )
        self.until_cleanup.callback(controllers.close)
        link = self._make_link(contract, settings, clocks)
        sensors = self._make_sensors(contract, policy)
        self.until_cleanup.callback(sensors.close)
        # The streams of cameras and vectors look as the inference node sees them.
        sensors.observations.images.update(link.streams.cameras)
        sensors.observations.vectors.update(link.streams.vectors)
        hooks = MotionHooks(
            e_stop=self.state.e_stop,
            measured_pose=sensors.measured,
            chunk_timeout=chunk_timeout(settings, contract, policy, policy.latency_p95),
            logger=self.get_logger(),
        )
        leader = self._takeover.open(contract, settings, self.until_cleanup)
        takeover = Takeover(pipeline, contract, leader_access(leader, settings, contract))
        motion = MotionGate(pipeline, contract, controllers, clocks, hooks, takeover)
        chunks = Source(link.subscription, link.take)
        pace = Pace(settings["control_rate"], settings["control_priority"])
        control_loop = ControlLoop(self, pace, self._on_control_tick, chunks)
        self.until_cleanup.callback(control_loop.join)
        self.until_cleanup.callback(self._forget_configuration)
        self.state.configured = Configured(
            contract=contract,
            settings=settings,
            clocks=clocks,
            policy=policy,
            link=link,
            sensors=sensors,
            controllers=controllers,
            motion=motion,
            incident_ring=ring,
            control_loop=control_loop,
        )
        self._reporter.open(self.state.configured, self.until_cleanup, self._inference.save_observations)
        self.get_logger().info(f"configured: {summary(policy, contract.dt)}")
        self.get_logger().debug(policy.description)

    def preflight(self) -> None:
        """Refuse to activate, with everything that is wrong."""
        configured = self._require_configured()
        if not self.state.task:
            raise TaskError(
                "no task: set the parameter 'task' or call ~/set_task first"
                + known_hint(configured.policy.known_tasks)
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
        if fault := configured.link.fault():
            problems.append(fault)
        if self.state.e_stop.latched:
            problems.append(LATCHED)
        if problems:
            raise DitPolicyError("not safe to start:\n  - " + "\n  - ".join(problems))

    def start(self) -> None:
        """Start to infer. The first plan follows the first chunk."""
        configured = self._require_configured()
        settings, sensors, motion = configured.settings, configured.sensors, configured.motion
        link, joints = configured.link, configured.sensors.observations.joints
        fault = functools.partial(input_fault, link, joints)
        link.activate()
        pose = sensors.measured()  # (A,)
        if pose is None:
            raise DitPolicyError("the joint states became stale between preflight and start: activate again")
        pose, _ = configured.controllers.reference_pose(pose, motion.pipeline.settings.max_tracking_error)
        motion.set_velocity_scale(self.get_parameter("velocity_scale").value)
        self.state.lease.begin(settings["heartbeat_timeout"])
        motion.start(pose)
        watch = ControlWatch(
            motion,
            WatchedInputs(joints, fault, lambda: link.refusal, self.state.lease.fault),
            configured.controllers,
            configured.clocks,
            control_settings(settings),
        )
        self.state.active = Active(watch)
        self._reporter.activate()
        link.start(motion)
        configured.control_loop.start()
        self.get_logger().info(f"active: {self.state.task!r}")

    def stop(self) -> None:
        """HOLD at once, without waiting for the present inference; then stop inferring."""
        configured = self._require_configured()
        with contextlib.ExitStack() as steps:  # last step first; one that fails stops no other
            steps.callback(configured.link.deactivate)
            steps.callback(configured.control_loop.join)
            steps.callback(configured.motion.stop, "deactivated", ACKNOWLEDGE_TIMEOUT)
            steps.callback(configured.link.stop)
            steps.callback(configured.control_loop.request_stop)
            steps.callback(self._forget_activation)  # so that the last hold is not reported as an incident
            self._reporter.report_holds()

    def halt(self) -> None:
        """As the base class; waits for the last incident while the inference node can still answer."""
        super().halt()
        self._reporter.finish(INCIDENTS_WITHIN)
        self._inference.stop_waiting()

    def destroy_node(self) -> None:
        """As rclpy's; ends the inference process, too."""
        self._inference.close()
        super().destroy_node()

    # --- services and callbacks ----------------------------------------------------------------------------

    def _on_set_task(self, request: SetTask.Request, response: SetTask.Response) -> SetTask.Response:
        if (configured := self.state.configured) is None:
            response.message = "the policy node is not configured: no checkpoint is loaded yet"
            return response
        known = configured.policy.known_tasks
        response.known_tasks = list(known)
        try:
            judged = self._judge(request.task, known, configured.settings["unknown_tasks"])
        except TaskError as error:
            response.message = f"{error}; the task is still {self.state.task!r}"
            response.known_tasks = list(dict.fromkeys((*getattr(error, "nearest", ()), *known)))
            return response
        self.state.familiarity = judged.familiarity
        if judged.task == self.state.task:  # keep the chunks: a user interface may repeat its request
            response.success, response.message = True, f"the task is {judged.task!r} already"
            return response
        self.state.task = judged.task
        configured.motion.change_task()
        configured.link.update()
        response.success, response.message = True, f"the task is now {judged.task!r}{judged.note}"
        self._reporter.on_task_changed(response.message, judged.is_known)
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
        self.state.lease.forget_lost()
        accepted: list[str] = []
        if configured is not None and active is not None and not self.state.e_stop.latched:
            accepted = configured.link.accept_images()  # the operator has looked at the cameras
        if configured is None or active is None:
            response.message = "the policy node is not active"
        elif configured.motion.takeover.is_homing and (refusal := active.watch.hand_back()):
            response.message = f"cannot resume yet: {refusal}"
        elif configured.motion.state is not MotionState.HOLD:
            response.success, response.message = True, "nothing holds the arms: the policy may move"
        elif self.state.e_stop.latched:
            response.message = LATCHED
        elif refusal := active.watch.resume():
            response.message = f"cannot resume yet: {refusal}"
        else:
            response.success, response.message = True, "resumed, with a soft start"
        if accepted:
            again = f"the image of {listing(accepted)} counts as frozen again once all arms have moved"
            response.message += f"; {again}"
            self.get_logger().warning(again)
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

    def _on_status(self, status: InferenceStatus) -> None:
        if (configured := self.state.configured) is not None:
            configured.link.on_status(status)

    def _on_control_tick(self) -> None:
        if (active := self.state.active) is not None:
            active.watch.tick()
            configured = self._require_configured()
            configured.link.update()
            self._reporter.on_control_tick()

    # --- helpers -------------------------------------------------------------------------------------------

    def _make_sensors(self, contract: Contract, policy: PolicyDescription) -> SensorStreams:
        """The joint states alone: cameras and vectors are the inference node's."""
        settings = SensorSettings(n_obs_steps=policy.n_obs_steps, cameras=(), read_joints_on_demand=True)
        return SensorStreams(self, contract, settings, events=self._reporter.events)

    def _make_link(self, contract: Contract, settings: dict[str, Any], clocks: Clocks) -> InferenceLink:
        replan = ReplanSettings(
            period_ns=contract.dt_ns,
            replan_interval=settings["replan_interval"],
            max_latency=settings["max_latency"] or math.inf,
            encode_on_arrival=settings["encode_on_arrival"],
        )
        return self._inference.make_link(
            contract,
            LinkSettings(
                timeout=settings["link_timeout"],
                is_simulated=clocks.is_simulated,
                replan=replan,
                task=lambda: self.state.task,
                now_ns=clocks.now_ns,
                on_chunk=self._reporter.on_chunk,
            ),
            self._reporter.events,
        )

    def _forget_activation(self) -> None:
        self.state.active = None

    def _forget_configuration(self) -> None:
        self.state.configured = None

    def _take_task(self, parameter: str, known: tuple[str, ...], unknown_tasks: str = WARN) -> None:
        """Take the parameter ``task`` if it has changed; otherwise keep what ~/set_task set since."""
        state = self.state
        if parameter and parameter != state.task_parameter:
            judged = self._judge(parameter, known, unknown_tasks)
            state.task_parameter = parameter
        else:  # an instruction that is kept is followed, whatever this checkpoint says of it
            judged = self._judge(state.task, known, WARN) if state.task else Judged("", None, True)
        state.task, state.familiarity = judged.task, judged.familiarity
        if not judged.is_known:
            self.get_logger().warning(f"the task is {state.task!r}{judged.note}")
        elif parameter != state.task:
            self.get_logger().info(
                f"the task is {state.task!r}{judged.note}, the parameter task {parameter!r}"
            )

    def _require_configured(self) -> Configured:
        if self.state.configured is None:
            raise ValueError("the node is not configured")
        return self.state.configured


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    answer = answer_arguments("policy_node", _PURPOSE, POLICY_PARAMETERS, args)
    if answer is not None:
        return answer
    return run_node(_prepared, args, threads=THREADS)


def _prepared(**kwargs: Any) -> PolicyNode:
    """The node, whose inference process is starting already."""
    node = PolicyNode(**kwargs)
    node.prepare_inference()
    return node


if __name__ == "__main__":
    sys.exit(main())
