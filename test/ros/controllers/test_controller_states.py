# SPDX-License-Identifier: Apache-2.0
"""What controllers say about themselves decides whether they are commanded, and from where."""

import contextlib
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("control_msgs.msg", reason="control_msgs has no messages here: run make setup")
from controlled_robot import MAX_AGE, ControlledRobot, robot_parameters
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from policy_watch import Watch
from rclpy.node import Node
from ros_testing import call
from sensor_msgs.msg import JointState
from small_robot import spinning_together
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from waiting import wait_for

from dit_policy_ros.core.contract import Controller, ControllerType
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.controllers._controller_states import ControllerStates
from dit_policy_ros.ros.policy.policy_node import PolicyNode

LEFT = "left_arm_controller"


@contextlib.contextmanager
def following(checkpoint, *others, robot=None, activate=True, **changes):
    robot = robot or ControlledRobot()
    node = PolicyNode(parameter_overrides=robot_parameters(checkpoint=str(checkpoint), **changes))
    with spinning_together(robot, node, *others):
        assert node.trigger_configure().name == "SUCCESS"
        watch = Watch(robot, node)
        if activate:
            wait_for(lambda: node.trigger_activate() and node.state.active is not None, 15.0, "activation")
            watch.wait_state(PolicyStatus.RUNNING)
            plans_go_on(watch)
        yield watch


def plans_go_on(watch):
    plans = watch.status.plans
    wait_for(lambda: watch.status.plans > plans + 5, 15.0, "plans go on")


def resume(watch):
    return call(watch.robot, Trigger, "/policy/resume", Trigger.Request())


def refusal(node, capfd):
    node.trigger_activate()
    assert node.state.active is None
    return capfd.readouterr().err


def test_a_controller_that_is_switched_off_and_on_makes_no_step(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        robot = watch.robot
        robot.forget_steps()
        robot.deactivate(LEFT)
        watch.wait_hold("controller lost")
        assert f"{LEFT} publishes nothing on /{LEFT}/controller_state" in watch.status.hold_reason
        assert "ros2 control list_controllers" in watch.status.hold_reason
        assert watch.status.hold_recoverable
        assert robot.following[LEFT].ignored, "it is subscribed, and drops what it gets"
        robot.activate(LEFT)
        watch.wait_state(PolicyStatus.RUNNING)
        plans_go_on(watch)
        assert not robot.jumped(LEFT), robot.longest_steps
        assert abs(robot.longest_steps[LEFT]) > 0.0, "it moves"


def test_a_controller_that_is_restarted_within_a_moment_makes_no_step(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        robot = watch.robot
        wanted, sweep = robot.command(LEFT), watch.node.state.configured.policy
        predict, begun = sweep.predict, time.monotonic()

        def sweeping(*arguments, **options):
            chunk = np.zeros_like(predict(*arguments, **options))  # (K, A)
            times = time.monotonic() - begun + np.arange(len(chunk)) / 30.0  # (K,)
            chunk[:, 0] = wanted + 0.8 * np.sin(2.0 * times)
            chunk[:, [1, 3]] = 0.02
            return chunk

        sweep.predict = sweeping
        wait_for(lambda: robot.longest_steps[LEFT] > 0.012, 20.0, "the arm is fast")
        robot.forget_steps()
        plans = len(robot.of(LEFT))
        wait_for(lambda: len(robot.of(LEFT)) > plans, 10.0, "a plan has just come")
        robot.deactivate(LEFT)
        plans = len(robot.of(LEFT))
        wait_for(lambda: len(robot.of(LEFT)) > plans, 10.0, "the next one is dropped")
        robot.activate(LEFT)
        watch.wait_hold(LEFT)
        assert watch.status.hold_recoverable, watch.status.hold_reason
        watch.wait_state(PolicyStatus.RUNNING)
        plans_go_on(watch)
        assert not robot.jumped(LEFT), robot.longest_steps


def test_an_inactive_controller_prevents_activation_although_it_subscribes(ros_domain, checkpoint, capfd):
    with following(checkpoint, activate=False, stream_timeout=1.0) as watch:
        controllers = watch.node.state.configured.controllers
        wait_for(lambda: controllers.states.newest(watch.robot.now_ns()), 10.0, "states arrive")
        watch.robot.deactivate(LEFT)  # what it said before still waits in the middleware
        text = refusal(watch.node, capfd)
        assert f"{LEFT} publishes nothing on /{LEFT}/controller_state" in text
        assert "right_arm_controller publishes nothing" not in text
        watch.robot.activate(LEFT)
        wait_for(lambda: watch.node.trigger_activate() and watch.node.state.active, 10.0, "activation")


def test_motion_starts_where_the_controller_commands_not_where_the_arm_sags_to(ros_domain, checkpoint):
    robot = ControlledRobot(left_joint_1=0.08, right_joint_1=0.06)
    commanded = {name: robot.command(name) for name in robot.following}
    with following(checkpoint, robot=robot) as watch:
        for name in (LEFT, "right_arm_controller"):
            first = robot.of(name)[0]
            assert first.points[0].positions[0] == pytest.approx(commanded[name], abs=1e-6)
            assert not robot.jumped(name), robot.longest_steps
        assert watch.status.holds == 0


def test_a_reference_far_from_the_arm_is_not_where_motion_starts(ros_domain, checkpoint):
    robot = ControlledRobot(left_joint_1=0.3)
    with following(checkpoint, robot=robot, max_tracking_error=0.2, activate=False) as watch:
        controllers = watch.node.state.configured.controllers
        wait_for(lambda: len(controllers.states.newest(robot.now_ns())) == 4, 10.0, "states")
        measured, tolerance = np.array([0.02, 0.02, 0.02, 0.02]), np.full(4, 0.2)
        pose, known = controllers.reference_pose(measured, tolerance)
        assert known.tolist() == [False, True, True, True] and pose == pytest.approx(measured, abs=1e-6)


def test_a_nan_in_a_controllers_command_holds_until_it_is_restarted(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        robot = watch.robot
        state_of = robot.state_of

        def broken(name):
            message = state_of(name)
            if name == LEFT:
                message.reference.positions = [float("nan")]
            return message

        robot.state_of = broken
        watch.wait_hold("the command of left_arm_controller is NaN")
        assert watch.status.hold_recoverable
        robot.state_of = state_of
        watch.wait_state(PolicyStatus.RUNNING)


def test_a_controller_that_follows_somebody_else_holds_both_arms_for_good(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        robot = watch.robot
        controller = robot.following[LEFT]
        accept, target = controller.accept, robot.command(LEFT) + 0.4

        def hijacked(trajectory, now_ns):
            """As if an action client, which the ROS graph does not show, sent a goal after each plan."""
            points = tuple(type(p)(p.time_from_start_ns, (target,), (0.0,)) for p in trajectory.points)
            return accept(type(trajectory)(trajectory.stamp_ns, trajectory.joint_names, points), now_ns)

        controller.accept = hijacked
        watch.wait_hold("controller deviates: left_arm_controller moves left_joint_1")
        watch.wait_hold("another commander: left_arm_controller moves left_joint_1")
        assert not watch.status.hold_recoverable
        assert not resume(watch).success, "it still follows somebody else"
        robot.deactivate(LEFT)
        controller.accept = accept
        wait_for(lambda: "controller lost" in resume(watch).message, 10.0, "it is known to be off")
        robot.activate(LEFT)
        wait_for(lambda: resume(watch).success, 10.0, "resume")
        robot.forget_steps()
        plans_go_on(watch)
        assert not robot.jumped(LEFT), robot.longest_steps


def test_a_teleoperation_node_that_appears_later_holds_both_arms(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        teleop = Node("teleop", namespace="/operator")
        publisher = teleop.create_publisher(JointTrajectory, f"/{LEFT}/joint_trajectory", 1)
        watch.wait_hold(f"another commander: /operator/teleop also commands {LEFT}")
        assert not watch.status.hold_recoverable
        assert "/operator/teleop" in resume(watch).message
        teleop.destroy_publisher(publisher)
        wait_for(lambda: resume(watch).success, 10.0, "resume after it is gone")
        plans_go_on(watch)
        teleop.destroy_node()


def test_two_policy_nodes_of_one_name_do_not_both_command(ros_domain, checkpoint, capfd):
    with following(checkpoint) as watch:
        twin = PolicyNode(parameter_overrides=robot_parameters(checkpoint=str(checkpoint)))
        with spinning_together(twin):
            assert twin.trigger_configure().name == "SUCCESS"
            watch.wait_hold("another node named /policy (was it started twice?)")
            text = refusal(twin, capfd)
            assert f"another node named /policy (was it started twice?) also commands {LEFT}" in text


def test_listeners_are_no_commanders_and_no_controllers(ros_domain, checkpoint, capfd):
    recorder = Node("recorder")
    for name in ("left_arm_controller", "left_gripper_controller"):
        recorder.create_subscription(JointTrajectory, f"/{name}/joint_trajectory", lambda _: None, 10)
    with following(checkpoint, recorder, activate=False, stream_timeout=1.0) as watch:
        watch.robot.deactivate(LEFT)
        watch.robot.disconnect(LEFT)
        text = refusal(watch.node, capfd)
        assert f"{LEFT} publishes nothing" in text and "also commands" not in text


def test_without_controller_states_subscribers_count_and_a_warning_says_so(ros_domain, checkpoint, capfd):
    from small_robot import SmallRobot

    node = PolicyNode(parameter_overrides=robot_parameters(checkpoint=str(checkpoint)))
    with spinning_together(SmallRobot(), node):
        node.trigger_configure()
        wait_for(lambda: node.trigger_activate() and node.state.active is not None, 15.0, "activation")
    text = capfd.readouterr().err
    assert "left_arm_controller" in text and "publish no controller_state" in text


def test_the_robots_clock_is_watched_while_running(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        robot = watch.robot
        robot.clock_offset_ns = -150_000_000
        watch.wait_hold("clocks differ")
        assert "behind ours" in watch.status.hold_reason and "chrony" in watch.status.hold_reason
        assert watch.status.hold_recoverable
        robot.clock_offset_ns = 0
        watch.wait_state(PolicyStatus.RUNNING, timeout=20.0)


def test_diagnostics_show_ages_and_clocks_and_what_is_wrong(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        entries = []
        watch.robot.create_subscription(
            DiagnosticArray,
            "/diagnostics",
            lambda m: entries.extend(each for each in m.status if each.name == "policy: controllers"),
            10,
        )
        wait_for(lambda: entries, 10.0, "an entry")
        figures = {pair.key: pair.value for pair in entries[-1].values}
        assert entries[-1].level == DiagnosticStatus.OK, entries[-1].message
        for sender in (LEFT, "right_gripper_controller", "joint_states"):
            assert abs(float(figures[f"{sender}: clock behind ours [s]"].split()[0])) < 0.1
        assert float(figures[f"{LEFT}: state age [s]"].split()[0]) < MAX_AGE
        watch.robot.deactivate(LEFT)
        wait_for(lambda: f"{LEFT} publishes nothing" in entries[-1].message, 10.0, "the problem is reported")
        assert entries[-1].level == DiagnosticStatus.ERROR


def test_single_wrong_stamps_do_not_hold(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        publisher = watch.robot.create_publisher(JointState, "joint_states", 10)
        plans = watch.status.plans
        for _ in range(5):
            message = JointState(name=sorted(watch.robot.positions))
            message.position = [watch.robot.positions[name] for name in message.name]
            message.header.stamp = (watch.node.get_clock().now()).to_msg()
            message.header.stamp.sec += 1
            publisher.publish(message)
            plans_go_on(watch)
        assert watch.status.plans > plans and watch.status.holds == 0


def test_a_thread_that_waited_before_it_took_a_state_sees_no_clock_ahead(ros_domain):
    node, robot = Node("waiting"), ControlledRobot()
    watched = ControllerStates(
        node, [Controller(LEFT, ControllerType.JOINT_TRAJECTORY, ("left_joint_1",))], 1.0
    )
    try:
        with spinning_together(robot):

            def take_with_an_old_time():
                watched.take(node.get_clock().now().nanoseconds - 200_000_000)
                return watched.clock_offsets()

            wait_for(take_with_an_old_time, 10.0, "states arrive")
            assert watched.clock_offsets()[LEFT] > -0.05
    finally:
        watched.close()
        node.destroy_node()
