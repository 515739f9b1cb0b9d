# SPDX-License-Identifier: Apache-2.0
"""The scripted operator as a ROS node: it commands the simulated robot as a person with leader arms would.

It reads the joints and the true poses of the cubes (sim_node's ~/cubes). It publishes on the topics of a
leader arm's driver, so the recorder records it like one.
"""

import sys
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
    FOLLOW_PARENT,
    Parameter,
    Resources,
    answer_arguments,
    declare_parameters,
    read_settings,
    resolved_parameters,
    run_node,
    stamp_ns,
    to_stamp,
)
from dit_policy_ros.ros.common.qos import COMMANDS, NEWEST, TRAJECTORIES
from dit_policy_ros.ros.sim._messages import cube_frames
from dit_policy_ros.sim.operator import Disturbance, Operator
from dit_policy_ros.sim.robot import CONTROLLERS, FPS, JOINTS, BimanualSim
from dit_policy_ros.sim.tasks import find_task, suite
from dit_policy_ros.srv import SetTask

_PURPOSE = (
    "A scripted operator for the simulated robot, for recording demonstrations: it does one task after the "
    "other, by commands on <controller>/joint_trajectory. Without a task it holds the arms."
)
TELEOP_PARAMETERS = (
    Parameter("task", str, "", "first instruction; empty: wait for ~/set_task", fixed=True),
    Parameter(
        "disturbance", float, 0.0,
        "standard deviation of a slow error between the arms and the leader's joints. The operator corrects "
        "it, so the data teach a policy to recover", "rad", 0.0, 0.1, fixed=True,
    ),
    Parameter(
        "knocks", float, 0.0, "rate of knocks that move the arms by centimetres", "1/s", 0.0, 5.0,
        fixed=True,
    ),
    Parameter("seed", int, 0, "seed of the variation between demonstrations", low=0, high=2**31 - 1),
    FOLLOW_PARENT,
)  # fmt: skip
_ARMS = np.array(["gripper" not in name for name in JOINTS])  # (14,)
_MAX_ERROR = 0.8  # [rad] largest error between an arm and its command; fast motions reach half of it
_REACH_TIME = Duration(nanosec=round(2e9 / FPS))  # time to reach a command; the next one arrives half-way


class TeleopNode(Node):
    """Reads joint_states and sim/cubes; publishes leader/joint_states and <controller>/joint_trajectory.

    Services: ~/set_task, ~/hold.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Raises TaskError if the first instruction is not a task of the scene."""
        with resolved_parameters("teleop", kwargs) as options:
            super().__init__("teleop", automatically_declare_parameters_from_overrides=True, **options)
        with Resources(self.get_logger()).released_if_it_fails(self):
            self._set_up()

    def _set_up(self) -> None:
        declare_parameters(self, TELEOP_PARAMETERS)
        settings = read_settings(self, TELEOP_PARAMETERS)
        self._mirror = BimanualSim()
        self._rng = np.random.default_rng(settings["seed"])
        self._disturbance_std, self._knock_rate = settings["disturbance"], settings["knocks"]
        self._operator = Operator(self._rng)
        self._disturbance = Disturbance(self._rng, 0.0)  # none while the arms are held
        self._target: np.ndarray | None = None  # (14,) [rad], [m], last commanded
        self._joints: tuple[int, np.ndarray] | None = None  # stamp [ns], (14,)
        self._scene: tuple[np.ndarray, np.ndarray] | None = None  # joints (14,), cubes (3, 7) of one instant
        self._mirrored: np.ndarray | None = None  # (14,) of the instant that the mirror shows
        self._has_task, self._holds, self._first_ns = False, True, 0
        self._next_task = settings["task"]
        if self._next_task:
            find_task(self._next_task)
        self._trajectory_publishers = {
            name: self.create_publisher(JointTrajectory, f"{name}/joint_trajectory", TRAJECTORIES)
            for name in CONTROLLERS
        }
        self._leader = self.create_publisher(JointState, "leader/joint_states", COMMANDS)
        self.create_subscription(JointState, "joint_states", self._on_joint_states, NEWEST)
        self.create_subscription(PoseArray, "sim/cubes", self._on_cubes, NEWEST)
        self.create_service(SetTask, "~/set_task", self._on_set_task)
        self.create_service(SetBool, "~/hold", self._on_hold)
        self.create_timer(1.0 / FPS, self._act)

    def _on_joint_states(self, msg: JointState) -> None:
        by_name = dict(zip(msg.name, msg.position, strict=True))
        self._joints = stamp_ns(msg.header.stamp), np.array([by_name[name] for name in JOINTS])

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
        disturbed = self._target + self._disturbance.step()
        command = np.clip(disturbed, self._mirror.lower, self._mirror.upper)  # (14,)
        for name, publisher in self._trajectory_publishers.items():
            indices = [JOINTS.index(joint) for joint in CONTROLLERS[name]]
            point = JointTrajectoryPoint(positions=command[indices].tolist(), time_from_start=_REACH_TIME)
            publisher.publish(JointTrajectory(joint_names=list(CONTROLLERS[name]), points=[point]))


def main(args: list[str] | None = None) -> int:
    """Runs the operator until SIGINT or SIGTERM."""
    answer = answer_arguments("teleop_expert", _PURPOSE, TELEOP_PARAMETERS, args)
    if answer is not None:
        return answer
    return run_node(TeleopNode, args, threads=2)


if __name__ == "__main__":
    sys.exit(main())
