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
from ros_testing import call, now_ns
from sensor_msgs.msg import JointState
from small_robot import policy_node, spinning_together
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
    node = policy_node(robot_parameters(checkpoint=str(checkpoint), **changes))
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


def heard_anew(watch):
    """Wait until the node has taken a state that was published from now on."""
    states, begin = watch.node.state.configured.controllers.states, now_ns(watch.node)
    wait_for(lambda: states.newest(now_ns(watch.node))[LEFT].stamp_ns > begin, 10.0, "a new state")


def refusal(node, capfd):
    node.trigger_activate()
    assert node.state.active is None
    return capfd.readouterr().err


@pytest.mark.slow  # states that come 0.3 s late on a busy computer are a HOLD of their own
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


@pytest.mark.slow
def test_a_controller_that_is_restarted_within_a_moment_makes_no_step(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        robot = watch.robot
        wanted, sweep = robot.command(LEFT), watch.policy
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

        def behind() -> float:
            plan = watch.node.state.configured.motion.pipeline.plan
            return abs(plan.sample_at(robot.now_ns())[0][0] - robot.command(LEFT))

        wait_for(lambda: behind() > 0.1, 10.0, "the plan has left the arm behind")
        robot.activate(LEFT)
        watch.wait_hold(LEFT)
        assert watch.status.hold_recoverable, watch.status.hold_reason
        watch.wait_state(PolicyStatus.RUNNING)
        plans_go_on(watch)
        assert not robot.jumped(LEFT), robot.longest_steps


@pytest.mark.slow
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


@pytest.mark.slow  # it takes a robot that keeps real time
def test_a_controller_that_follows_somebody_else_holds_both_arms_for_good(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        robot = watch.robot
        controller = robot.following[LEFT]
        accept = controller.accept

        def hijacked(trajectory, now_ns):
            """As if an action client, which the ROS graph does not show, sent a goal after each plan."""
            points = tuple(
                type(p)(p.time_from_start_ns, tuple(x + 0.2 for x in p.positions), p.velocities)
                for p in trajectory.points
            )
            return accept(type(trajectory)(trajectory.stamp_ns, trajectory.joint_names, points), now_ns)

        controller.accept = hijacked
        watch.wait_hold("another commander: left_arm_controller moves left_joint_1")
        assert not watch.status.hold_recoverable
        state_of = robot.state_of

        def moving(name):
            """It moves while it is asked."""
            message = state_of(name)
            if name == LEFT:
                message.reference.positions[0] += 0.1 * np.sin(10.0 * time.monotonic())
            return message

        robot.state_of = moving
        heard_anew(watch)
        answer = resume(watch)
        assert not answer.success and f"{LEFT} moves left_joint_1" in answer.message, "its command moves"
        robot.state_of = state_of
        wait_for(lambda: resume(watch).success, 10.0, "it has stood for a second")
        holds = watch.status.holds
        wait_for(lambda: watch.status.holds > holds, 10.0, "it still follows somebody else")
        watch.wait_hold("another commander: left_arm_controller moves left_joint_1")
        controller.accept = accept
        plans = watch.status.plans
        wait_for(lambda: resume(watch) and watch.status.plans > plans + 5, 15.0, "plans go on")


@pytest.mark.slow
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
    twice = "was it started twice?"
    with following(checkpoint) as watch:
        own = PolicyNode(parameter_overrides=robot_parameters(checkpoint=str(checkpoint)))
        with spinning_together(own):  # with the first one's inference node
            assert own.trigger_configure().name == "FAILURE"
        assert f"/inference works for another policy node ({twice})" in capfd.readouterr().err
        twin = policy_node(robot_parameters(checkpoint=str(checkpoint)))
        with spinning_together(twin):
            wait_for(lambda: twin._inference._remote.others(), 10.0, "both inference nodes are seen")
            assert twin.trigger_configure().name == "FAILURE"
        assert "two inference nodes are called /inference" in capfd.readouterr().err
        plans_go_on(watch)
        stranger = Node("policy")
        publisher = stranger.create_publisher(JointTrajectory, f"/{LEFT}/joint_trajectory", 1)
        watch.wait_hold(f"another node named /policy ({twice}) also commands {LEFT}")
        stranger.destroy_publisher(publisher)
        stranger.destroy_node()


@pytest.mark.slow
def test_listeners_are_no_commanders_and_no_controllers(ros_domain, checkpoint, capfd):
    recorder = Node("recorder")
    for name in ("left_arm_controller", "left_gripper_controller"):
        recorder.create_subscription(JointTrajectory, f"/{name}/joint_trajectory", lambda _: None, 10)
    with following(checkpoint, recorder, activate=False, stream_timeout=1.0) as watch:
        watch.robot.deactivate(LEFT)
        watch.robot.disconnect(LEFT)
        text = refusal(watch.node, capfd)
        assert f"{LEFT} publishes nothing" in text and "also commands" not in text


@pytest.mark.slow
def test_without_controller_states_subscribers_count_and_a_warning_says_so(ros_domain, checkpoint, capfd):
    from small_robot import SmallRobot

    node = policy_node(robot_parameters(checkpoint=str(checkpoint)))
    with spinning_together(SmallRobot(), node):
        node.trigger_configure()
        wait_for(lambda: node.trigger_activate() and node.state.active is not None, 15.0, "activation")
    text = capfd.readouterr().err
    assert "left_arm_controller" in text and "publish no controller_state" in text


@pytest.mark.slow
def test_the_robots_clock_is_watched_while_running(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        robot = watch.robot
        robot.clock_offset_ns = -150_000_000
        watch.wait_hold("clocks differ")
        assert "behind ours" in watch.status.hold_reason and "chrony" in watch.status.hold_reason
        assert watch.status.hold_recoverable
        robot.clock_offset_ns = 0
        watch.wait_state(PolicyStatus.RUNNING, timeout=20.0)


@pytest.mark.slow
def test_diagnostics_show_ages_and_clocks_and_what_is_wrong(ros_domain, checkpoint):
    with following(checkpoint) as watch:
        entries = []
        watch.robot.create_subscription(
            DiagnosticArray,
            "/diagnostics",
            lambda m: entries.extend(each for each in m.status if each.name == "policy: controllers"),
            10,
        )

        def is_well() -> bool:  # at last: a busy computer delivers late at times
            if not entries or entries[-1].level != DiagnosticStatus.OK:
                return False
            figures = {
                pair.key: float(pair.value.split()[0]) for pair in entries[-1].values if "[s]" in pair.key
            }
            clocks = [figures[f"{sender}: clock behind ours [s]"] for sender in senders]
            return max(map(abs, clocks)) < 0.1 and figures[f"{LEFT}: state age [s]"] < MAX_AGE

        senders = (LEFT, "right_gripper_controller", "joint_states")
        wait_for(is_well, 20.0, "an entry without a problem")
        watch.robot.deactivate(LEFT)
        wait_for(lambda: f"{LEFT} publishes nothing" in entries[-1].message, 10.0, "the problem is reported")
        assert entries[-1].level == DiagnosticStatus.ERROR


@pytest.mark.slow
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
