# SPDX-License-Identifier: Apache-2.0
"""Grippers with a parallel_gripper_controller, commanded by action goals over DDS."""

import contextlib

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("control_msgs.action", reason="control_msgs is not installed")
from rclpy.action import ActionClient
from rclpy.node import Node
from ros_testing import call, now_ns, resume, spinning
from small_robot import SmallRobot, parameters, policy_node, spinning_together
from std_srvs.srv import SetBool, Trigger
from waiting import wait_for

from dit_policy_ros.core.motion import MotionState
from dit_policy_ros.ros.sim._gripper import GripperServer
from dit_policy_ros.sim.controllers import ParallelGripperController

GRIPPERS = ("left_gripper_controller", "right_gripper_controller")
TYPES = {f"controllers__{name}__type": "parallel_gripper_controller" for name in GRIPPERS}
CONTROL_PERIOD_NS = 10_000_000


class RobotWithGripperActions(SmallRobot):
    """The small robot with grippers that take action goals; keeps every goal."""

    def __init__(self):
        self.goals = {name: [] for name in GRIPPERS}
        self.gripper_controllers, self.servers, self.running_servers = {}, {}, {}
        super().__init__()
        for name in GRIPPERS:
            self.disconnect(name)
            self.gripper_controllers[name] = ParallelGripperController(
                name, (name.removesuffix("_controller"),), period_ns=CONTROL_PERIOD_NS
            )
            self.gripper_controllers[name].reset(np.array([0.02]))
            self.serve(name)
        self.create_timer(CONTROL_PERIOD_NS * 1e-9, self._step)

    def serve(self, name):
        gripper = self.gripper_controllers[name]
        accept = gripper.accept

        def keep_goal(positions):
            self.goals[name].append(positions)
            return accept(positions)

        gripper.accept = keep_goal
        self.start_server(name)

    def start_server(self, name):
        """Serve in a node of its own, so that it can hang and end while the others run."""
        node = Node(f"server_of_{name}")
        self.servers[name] = GripperServer(node, self.gripper_controllers[name], f"{name}/gripper_cmd")
        stack = contextlib.ExitStack()
        stack.enter_context(spinning(node, destroy=False))
        self.running_servers[name] = (node, stack)

    def hang(self, name):
        """The controller's server is there, but does nothing any more."""
        self.running_servers[name][1].close()

    def restart(self, name):
        """A new server takes the place of the one that hangs."""
        self.running_servers[name][0].destroy_node()
        self.goals[name].clear()
        self.start_server(name)

    def stop_servers(self):
        for node, stack in self.running_servers.values():
            stack.close()
            node.destroy_node()

    def _step(self):
        for gripper in self.gripper_controllers.values():
            joint = gripper.joints[0]
            commanded = gripper.update(
                self.get_clock().now().nanoseconds, np.array([self.positions[joint]]), np.zeros(1)
            )
            self.positions[joint] = float(commanded[0])


@contextlib.contextmanager
def running(checkpoint, activate=True):
    robot = RobotWithGripperActions()
    node = policy_node(parameters(checkpoint=str(checkpoint), **TYPES))
    with spinning_together(robot, node):
        node.trigger_configure()
        if activate:
            wait_for(lambda: node.trigger_activate() and node.state.active is not None, 15.0, "activation")
            for name in GRIPPERS:
                wait_for(lambda n=name: robot.goals[n], 15.0, f"a goal for {name}")
        yield robot, node
    robot.stop_servers()


def test_grippers_follow_the_plan_by_goals_within_their_limits(ros_domain, checkpoint):
    with running(checkpoint) as (robot, node):
        motion = node.state.configured.motion
        wait_for(lambda: motion.pipeline.plans >= 20, 15.0, "twenty plans")
        for name, column in (("left_gripper_controller", 1), ("right_gripper_controller", 3)):
            goals = np.array([positions[0] for positions in robot.goals[name]])
            assert np.isfinite(goals).all() and (goals >= 0.0).all() and (goals <= 0.04).all()
            assert np.ptp(goals) > 1e-3, "the policy must move the gripper"
            wait_for(
                lambda n=name, c=column: (
                    abs(robot.goals[n][-1][0] - motion.pipeline.plan.sample_at(now_ns(node))[0][c]) < 0.002
                ),
                10.0,
                f"{name} is where the plan says",
            )
            assert not robot.of(name), "a controller that takes goals gets no trajectory"
        assert robot.of("left_arm_controller")


@pytest.mark.slow
def test_grippers_keep_their_last_goal_in_a_hold(ros_domain, checkpoint):
    with running(checkpoint) as (robot, node):
        assert call(robot, SetBool, "/policy/e_stop", SetBool.Request(data=True)).success
        assert node.state.configured.motion.state is MotionState.HOLD
        arms = len(robot.of("left_arm_controller"))
        goals = {name: list(robot.goals[name]) for name in GRIPPERS}
        # Once the hold has reached the arm, any goal sent before it has reached the gripper.
        wait_for(lambda: not robot.of("left_arm_controller")[-1].points[-1].velocities[0], 5.0, "the hold")
        assert arms <= len(robot.of("left_arm_controller"))
        assert call(robot, Trigger, "/policy/resume", Trigger.Request()).success is False
        for name in GRIPPERS:
            assert robot.goals[name] == goals[name]
            assert not robot.gripper_controllers[name]._release, (
                "a cancelled goal would make the gripper drop its object"
            )


def test_a_rejected_goal_holds_until_an_operator_resumes(ros_domain, checkpoint):
    with running(checkpoint) as (robot, node):
        robot.gripper_controllers["right_gripper_controller"].accept = lambda positions: "broken"
        motion = node.state.configured.motion
        reason = "right_gripper_controller rejected the goal"
        wait_for(lambda: reason in motion.pipeline.hold_reason, 15.0, f"a hold: {reason}")
        assert not motion.recoverable
        robot.gripper_controllers["right_gripper_controller"].accept = lambda positions: robot.goals[
            "right_gripper_controller"
        ].append(positions)
        robot.goals["right_gripper_controller"].clear()
        resume(robot)
        wait_for(lambda: robot.goals["right_gripper_controller"], 10.0, "goals go on")


@pytest.mark.slow
def test_when_a_controller_dies_with_a_goal_in_flight_motion_goes_on_by_itself(ros_domain, checkpoint):
    name = "right_gripper_controller"
    with running(checkpoint) as (robot, node):
        motion = node.state.configured.motion
        robot.hang(name)
        reason = f"{name} has not answered a goal"
        wait_for(lambda: reason in motion.pipeline.hold_reason, 15.0, f"a hold: {reason}")
        assert motion.recoverable
        robot.restart(name)
        wait_for(lambda: robot.goals[name], 10.0, "the new server gets a goal")
        wait_for(
            lambda: motion.state is MotionState.RUNNING,
            15.0,
            "motion goes on by itself",
        )
        goals = len(robot.goals[name])
        wait_for(lambda: len(robot.goals[name]) > goals, 10.0, "more goals")


@pytest.mark.slow
def test_a_goal_of_another_node_holds_until_an_operator_resumes(ros_domain, checkpoint):
    name = "left_gripper_controller"
    with running(checkpoint) as (robot, node):
        motion = node.state.configured.motion
        other = Node("other")
        servers_type = robot.servers[name]._type
        client = ActionClient(other, servers_type, f"{name}/gripper_cmd")
        wait_for(client.server_is_ready, 10.0, "the other node is connected")
        reason = f"/other also commands {name}"
        wait_for(lambda: reason in motion.pipeline.hold_reason, 15.0, f"a hold: {reason}")
        assert not motion.recoverable
        goal = servers_type.Goal()
        goal.command.position = [0.03]
        gripper = node.state.configured.controllers.grippers[name]
        assert not gripper.foreign_goal()
        client.send_goal_async(goal)
        wait_for(gripper.foreign_goal, 10.0, "its goal is recognised")
        client.destroy()
        wait_for(lambda: not gripper.foreign_goal(), 10.0, "its goal has ended")
        resume(robot)
        other.destroy_node()


@pytest.mark.slow
def test_activation_without_the_grippers_is_refused_and_names_their_actions(ros_domain, checkpoint, capfd):
    robot = SmallRobot()
    overrides = parameters(checkpoint=str(checkpoint), stream_timeout=0.5, **TYPES)
    node = policy_node(overrides)
    with spinning_together(robot, node):
        node.trigger_configure()
        node.trigger_activate()
        assert node.state.active is None
    text = capfd.readouterr().err
    for name in GRIPPERS:
        assert f"{name}/gripper_cmd" in text
