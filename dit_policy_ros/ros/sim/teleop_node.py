# SPDX-License-Identifier: Apache-2.0
"""The scripted operator as a ROS node: it commands the simulated robot as a person with leader arms would.

It reads the joints and the true poses of the cubes (sim_node's ~/cubes). It publishes on the topics of a
leader arm's driver, so the recorder records it like one.
"""

import sys
from functools import partial
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.core.errors import TaskError
from dit_policy_ros.ros.common import (
    Resources,
    answer_arguments,
    declare_parameters,
    has_contract,
    read_parameters,
    read_settings,
    resolved_parameters,
    run_node,
    stamp_ns,
    to_stamp,
)
from dit_policy_ros.ros.common.qos import COMMANDS, NEWEST, TRAJECTORIES
from dit_policy_ros.ros.sim._joint_states import joint_state_topics, robot_names
from dit_policy_ros.ros.sim._messages import cube_frames
from dit_policy_ros.ros.sim._parameters import TELEOP_PARAMETERS, TELEOP_PURPOSE
from dit_policy_ros.ros.sim._worlds import check_built_in, described_controllers
from dit_policy_ros.sim.operator import Disturbance, Operator
from dit_policy_ros.sim.robot import FPS, JOINTS, BimanualSim
from dit_policy_ros.sim.tasks import find_task, suite
from dit_policy_ros.srv import SetTask

_ARMS = np.array(["gripper" not in name for name in JOINTS])  # (14,)
_MAX_ERROR = 0.8  # [rad] largest error between an arm and its command; fast motions reach half of it
_REACH_TIME = Duration(nanosec=round(2e9 / FPS))  # time to reach a command; the next one arrives half-way


class TeleopNode(Node):
    """Reads joint_states and sim/cubes; publishes leader/joint_states and <controller>/joint_trajectory.

    Services: ~/set_task, ~/hold.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Raises TaskError if the first instruction is not a task of the scene.

        Raises SimulationError if a contract is given that is not of the built-in robot.
        """
        with resolved_parameters("teleop", kwargs) as options:
            super().__init__("teleop", automatically_declare_parameters_from_overrides=True, **options)
        with Resources(self.get_logger()).released_if_it_fails(self):
            self._set_up()

    def _set_up(self) -> None:
        declare_parameters(self, TELEOP_PARAMETERS)
        contract = None
        if has_contract(self):
            contract, settings = read_parameters(self, TELEOP_PARAMETERS)
            check_built_in(contract)
        else:
            settings = read_settings(self, TELEOP_PARAMETERS)
        self._controllers = described_controllers(contract)
        self._names = robot_names(JOINTS, contract)
        self._mirror = BimanualSim()
        self._rng = np.random.default_rng(settings["seed"])
        self._disturbance_std, self._knock_rate = settings["disturbance"], settings["knocks"]
        self._operator = Operator(self._rng, settings["aim_error"])
        self._disturbance = Disturbance(self._rng, 0.0)  # none while the arms are held
        self._target: np.ndarray | None = None  # (14,) [rad], [m], last commanded
        self._parts: tuple[int, dict[str, float]] = (0, {})  # stamp [ns], values by the robot's name
        self._joints: tuple[int, np.ndarray] | None = None  # stamp [ns], (14,)
        self._scene: tuple[np.ndarray, np.ndarray] | None = None  # joints (14,), cubes (3, 7) of one instant
        self._mirrored: np.ndarray | None = None  # (14,) of the instant that the mirror shows
        self._has_task, self._holds, self._first_ns = False, True, 0
        self._next_task = settings["task"]
        if self._next_task:
            find_task(self._next_task)
        self._trajectory_publishers = {
            each.name: self.create_publisher(JointTrajectory, each.topic, TRAJECTORIES)
            for each in ([] if settings["leader_only"] else self._controllers)
        }
        self._leader = self.create_publisher(JointState, "leader/joint_states", COMMANDS)
        for each in joint_state_topics(contract):
            arrived = partial(self._on_joint_states, each.prefix)
            self.create_subscription(JointState, each.topic, arrived, NEWEST)
        self.create_subscription(PoseArray, "sim/cubes", self._on_cubes, NEWEST)
        self.create_service(SetTask, "~/set_task", self._on_set_task)
        self.create_service(SetBool, "~/hold", self._on_hold)
        self.create_timer(1.0 / FPS, self._act)

    def _on_joint_states(self, prefix: str, msg: JointState) -> None:
        """Join the messages of one instant; several topics may have a part of the joints each."""
        time_ns = stamp_ns(msg.header.stamp)
        if time_ns != self._parts[0]:
            self._parts = time_ns, {}
        values = self._parts[1]
        values |= {prefix + name: value for name, value in zip(msg.name, msg.position, strict=True)}
        if all(name in values for name in self._names.sources):
            measured = np.array([values[name] for name in self._names.sources])  # (14,)
            self._joints = time_ns, self._names(measured)

    def _on_cubes(self, msg: PoseArray) -> None:
        """Use the message that follows joint_states with the same stamp; ignore others."""
        if self._joints is not None and self._joints[0] == stamp_ns(msg.header.stamp):
            self._scene = self._joints[1], cube_frames(msg)

    def _update_mirror(self) -> None:
        """Copy the newest state to the mirror."""
        if self._scene is not None:
            self._mirrored, cubes = self._scene
            self._mirror.mirror(self._mirrored, cubes, self._target)

    def _on_set_task(self, request: SetTask.Request, response: SetTask.Response) -> SetTask.Response:
        response.known_tasks = [task.instruction for task in suite()]
        try:
            find_task(request.task)
        except TaskError as error:
            response.success, response.message = False, str(error)
            return response
        self._next_task, self._holds = request.task, True
        response.success, response.message = True, f"the operator will {request.task}"
        return response

    def _on_hold(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Release the arms, so that someone else can move them, or hold them in place."""
        self._holds, self._has_task, self._next_task = request.data, False, ""
        self._target = self._mirrored = self._scene = None  # unknown until the next message
        self._disturbance = Disturbance(self._rng, 0.0)
        response.success = True
        response.message = (
            "the operator holds the arms" if request.data else "the operator let go of the arms"
        )
        return response

    def _tick_ns(self) -> int:
        """Stamp of this period [ns]: equally spaced even if the timer is late, as from a leader arm."""
        now_ns = self.get_clock().now().nanoseconds
        if not self._first_ns:
            self._first_ns = now_ns
        return self._first_ns + round(round((now_ns - self._first_ns) * 1e-9 * FPS) * 1e9 / FPS)

    def _act(self) -> None:
        self._update_mirror()
        if self._mirrored is None or not self._holds:
            return
        if self._target is None or np.abs(self._target - self._mirrored)[_ARMS].max() > _MAX_ERROR:
            # At the start, after a reset, or when an arm is blocked: command the measured pose once.
            if self._has_task:
                self.get_logger().warning("the arms are far from their command: the task is abandoned")
            self._target, self._has_task = self._mirrored.copy(), False
            self._mirror.mirror(self._mirrored, self._mirror.cube_frames(), self._target)
        if self._next_task:
            self._operator.begin(self._mirror, find_task(self._next_task))
            self.get_logger().info(f"task: {self._next_task}")
            self._next_task, self._has_task = "", True
            self._disturbance = Disturbance(self._rng, self._disturbance_std, knock_rate=self._knock_rate)
        if self._has_task:
            self._target = self._operator.act(self._mirror)
        leader = JointState(name=list(JOINTS), position=self._target.tolist())
        leader.header.stamp = to_stamp(self._tick_ns())
        self._leader.publish(leader)
        if not self._trajectory_publishers:
            return
        disturbed = self._target + self._disturbance.step()
        command = np.clip(disturbed, self._mirror.lower, self._mirror.upper)  # (14,)
        for each in self._controllers:
            positions = each.mapping.inverse(
                command[[JOINTS.index(joint) for joint in each.joints]]
            )  # (A_c,)
            point = JointTrajectoryPoint(positions=positions.tolist(), time_from_start=_REACH_TIME)
            message = JointTrajectory(joint_names=list(each.mapping.sources), points=[point])
            self._trajectory_publishers[each.name].publish(message)


def main(args: list[str] | None = None) -> int:
    """Runs the operator until SIGINT or SIGTERM."""
    answer = answer_arguments("teleop_expert", TELEOP_PURPOSE, TELEOP_PARAMETERS, args)
    if answer is not None:
        return answer
    return run_node(TeleopNode, args, threads=2)


if __name__ == "__main__":
    sys.exit(main())
