# SPDX-License-Identifier: Apache-2.0
"""Demonstrations over ROS: sim_node, teleop_expert and recorder_node run as processes of their own."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.evaluation.demonstrations._demonstration import (
    LINGER,
    Demonstration,
    DemonstrationSettings,
    repeat_until_kept,
)
from dit_policy_ros.evaluation.session import (
    LOOKED_ALREADY,
    MESSAGE_WITHIN,
    NodeCommand,
    Session,
    SessionError,
    config_path,
    ros_environment,
    running_nodes,
)
from dit_policy_ros.evaluation.simulator import (
    MAX_SLOWDOWN,
    RefereeMonitor,
    reset_scene,
    variation_parameters,
    vectors_section,
)
from dit_policy_ros.ros.common import qos
from dit_policy_ros.sim.robot import CONTROLLERS
from dit_policy_ros.sim.tasks import Task
from dit_policy_ros.srv import StartEpisode, StopEpisode

_AT_REST = 0.02  # [rad] between arms and commands
_SETTLING = 0.5  # [s] the arms rest before an episode begins, because its first frame includes history
_JOINT_RATE = 62.5  # [Hz] of joint_states


def ros_demonstrations(settings: DemonstrationSettings, order: Sequence[Task]) -> Iterator[Demonstration]:
    """Record one demonstration per entry of ``order``.

    Raises:
        SimulationError: the operator failed too often in a row, or a vector is unknown.
        SessionError: a node died or refused a request.
    """
    settings.logs.mkdir(parents=True, exist_ok=True)
    commands = _commands(settings)
    with (
        ros_environment(settings.logs, settings.domain) as environment,
        running_nodes(environment, settings.logs, commands) as session,
    ):
        for name, command in commands.items():
            session.check_parameters(command.parameters, name)
        recording = _RosRecording(session)
        session.change_state(Transition.TRANSITION_CONFIGURE, "recorder")
        session.change_state(Transition.TRANSITION_ACTIVATE, "recorder")
        yield from repeat_until_kept(order, settings.seed, recording.attempt)
        session.change_state(Transition.TRANSITION_DEACTIVATE, "recorder")


def _commands(settings: DemonstrationSettings) -> dict[str, NodeCommand]:
    recorder = {"dataset": str(settings.output.absolute()), "use_sim_time": "true"}
    teleop = {
        "seed": str(settings.seed),
        "disturbance": str(float(settings.disturbance)),
        "knocks": str(float(settings.knocks)),
        "aim_error": str(float(settings.aim_error)),
        "use_sim_time": "true",
    }
    sim = {
        **LOOKED_ALREADY,
        "cameras": f"[{', '.join(settings.cameras)}]",
        "speed": str(float(settings.speed)),
        **variation_parameters(settings.variation),
        "waits_for": "leader/joint_states",
        "joint_state_rate": str(_JOINT_RATE),
    }
    return {
        "recorder": NodeCommand("recorder.recorder_node", recorder, _write_recorder_parameters(settings)),
        "teleop": NodeCommand("sim.teleop_node", teleop),
        "sim": NodeCommand("sim.sim_node", sim),
    }


def _write_recorder_parameters(settings: DemonstrationSettings) -> Path:
    """The simulated robot's parameter file: only the wanted cameras, the vectors, a leader arm's actions."""
    content = yaml.safe_load(config_path().read_text())
    contract = content["/**"]["ros__parameters"]
    contract["cameras"] = {
        "names": list(settings.cameras),
        **{name: contract["cameras"][name] for name in settings.cameras},
    }
    if settings.vectors:
        contract["vectors"] = vectors_section(settings.vectors)
    content["/recorder"]["ros__parameters"]["action"]["source"] = "leader"
    path = settings.logs / "contract.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


class _RosRecording:
    """Records attempts with the running nodes, and follows the arms."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._referee = RefereeMonitor(session.node)
        self._measured: dict[str, float] = {}  # positions by joint [rad]
        self._commanded: dict[str, float] = {}  # positions by joint [rad]
        node = session.node
        node.create_subscription(JointState, "/joint_states", self._on_joint_states, qos.NEWEST)
        for name in CONTROLLERS:
            topic = f"/{name}/joint_trajectory"
            node.create_subscription(JointTrajectory, topic, self._on_trajectory, qos.TRAJECTORIES)

    def attempt(self, task: Task, seed: int, discarded: int) -> Demonstration | str:
        """One attempt in the scene of a seed; see ``repeat_until_kept``."""
        self._begin_scene(seed)
        self._start_episode(task)
        done = self._wait_for_success(task)
        request = StopEpisode.Request(save=done, success_label=done)
        answer = self._session.call_service(StopEpisode, "/recorder/stop_episode", request)
        if not answer.success:
            raise SessionError(f"the recorder does not end the episode: {answer.message}")
        if not done:
            return ""
        report = answer.report
        if not report.passed:  # the recorder has kept it, flagged: training leaves it out
            return "; ".join(report.reasons) or "the recorder's check failed"
        return Demonstration(task, report.frames, report.fps, tuple(report.warnings), discarded)

    def _begin_scene(self, seed: int) -> None:
        """Begin a new scene and wait until the arms rest."""
        session, referee = self._session, self._referee
        # If the operator still held the arms, it would drag them to where they were in the last scene.
        session.call_service(SetBool, "/teleop/hold", SetBool.Request(data=False))
        reset_scene(session, seed)
        referee.clear()
        self._commanded = {}
        session.spin_until(lambda: referee.is_in_scene(seed), MESSAGE_WITHIN)
        session.call_service(SetBool, "/teleop/hold", SetBool.Request(data=True))
        held_since = referee.scene_time

        def has_settled() -> bool:
            return self._is_at_rest() and referee.scene_time - held_since > _SETTLING

        if not session.spin_until(has_settled, MESSAGE_WITHIN):
            raise SessionError(f"the robot was not at rest in scene {seed} within {MESSAGE_WITHIN:g} s")

    def _start_episode(self, task: Task) -> None:
        request = StartEpisode.Request(task=task.instruction)
        answer = self._session.call_service(StartEpisode, "/recorder/start_episode", request)
        if not answer.success:
            raise SessionError(f"the recorder does not begin: {answer.message}")
        self._session.set_task(task.instruction, "teleop")

    def _wait_for_success(self, task: Task) -> bool:
        """Whether the task was done in time; the episode then goes on for ``LINGER``."""
        referee, began = self._referee, self._referee.scene_time

        def is_over() -> bool:
            return referee.scene_time - began > task.time_limit or referee.is_done(task.instruction)

        self._session.spin_until(is_over, task.time_limit * MAX_SLOWDOWN)
        done = referee.is_done(task.instruction)
        if done:
            end = referee.scene_time + LINGER
            self._session.spin_until(lambda: referee.scene_time >= end, LINGER * MAX_SLOWDOWN)
        return done

    def _is_at_rest(self) -> bool:
        """Whether every arm joint is where it was commanded to be."""
        arms = [name for name in self._measured if "gripper" not in name]
        if not arms or any(name not in self._commanded for name in arms):
            return False
        return max(abs(self._measured[name] - self._commanded[name]) for name in arms) < _AT_REST

    def _on_joint_states(self, message: JointState) -> None:
        self._measured = dict(zip(message.name, message.position, strict=True))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        *_, last = message.points
        self._commanded |= dict(zip(message.joint_names, last.positions, strict=True))
