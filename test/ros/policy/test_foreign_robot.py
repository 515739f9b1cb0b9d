# SPDX-License-Identifier: Apache-2.0
"""A policy drives a robot whose topics, joint names, units and messages are not the contract's."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("control_msgs.msg", reason="control_msgs has no messages here: run make setup")
from foreign_robot import COMMANDS, ForeignRobot, foreign_parameters
from policy_watch import LIMITS, Watch
from rclpy.node import Node
from small_robot import CONTROLLERS, policy_node, spinning_together
from trajectory_msgs.msg import JointTrajectory
from waiting import wait_for

from dit_policy_ros.core.motion import Plan
from dit_policy_ros.msg import PolicyStatus

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def configured(checkpoint, *others: Node, silent: frozenset[str] = frozenset(), **changes) -> Iterator[Watch]:
    robot = ForeignRobot()
    robot.silent = set(silent)
    node = policy_node(foreign_parameters(checkpoint=str(checkpoint), **changes))
    with spinning_together(robot, node, *others):
        assert node.trigger_configure().name == "SUCCESS"
        yield Watch(robot, node)


def activate(watch: Watch) -> None:
    node = watch.node
    wait_for(lambda: node.trigger_activate() and node.state.active is not None, 15.0, "activation")


def test_it_drives_the_robot_and_holds_when_one_joint_no_longer_comes(ros_domain, checkpoint) -> None:
    with configured(checkpoint) as watch:
        activate(watch)
        watch.wait_state(PolicyStatus.RUNNING)
        wait_for(lambda: watch.status.plans > 15, 20.0, "plans go on")
        stayed_within_limits(list(watch.plans()))
        arm, robot = "right_arm_controller", watch.robot
        first = robot.commands[arm][0]
        assert first.points[0].positions[0] == pytest.approx(
            (0.02 - 0.1) * -180.0 / np.pi, abs=0.5
        )  # degrees
        grips = [m.points[-1].positions[0] for m in robot.commands["right_gripper_controller"]]
        assert all(-0.01 <= grip <= 100.01 for grip in grips) and max(grips) > 1.0  # percent
        moved = {joint: robot.positions[joint] for joint in CONTROLLERS.values()}
        assert any(abs(moved[joint] - 0.02) > 0.01 for joint in moved), moved

        robot.silent = {"right_gripper"}
        watch.wait_hold("stale observation")
        sensors = watch.node.state.configured.sensors

        def is_named() -> bool:
            """On a busy computer the others may be late for a moment, too."""
            reason = sensors.faults(sensors.now_ns()).get("joint_states", "")
            return "right_gripper (a message names " in reason and "left_gripper" not in reason

        wait_for(is_named, 15.0, "the joint that no longer comes is named")
        robot.silent = set()
        watch.wait_state(PolicyStatus.RUNNING)


def stayed_within_limits(plans: list[Plan]) -> None:
    for plan in plans:
        assert (np.abs(plan.velocities) <= LIMITS.velocity + 1e-6).all()
        assert (plan.positions >= LIMITS.position_min - 1e-9).all()
        assert (plan.positions <= LIMITS.position_max + 1e-9).all()


def test_a_joint_that_never_comes_is_named_when_activation_is_refused(ros_domain, checkpoint, capfd) -> None:
    with configured(checkpoint, silent=frozenset({"left_joint_1"}), stream_timeout=1.0) as watch:
        watch.node.trigger_activate()
        assert watch.node.state.active is None
    text = capfd.readouterr().err
    assert "nothing received of left_joint_1; a message names" in text


def test_another_node_that_commands_an_arm_in_its_namespace_is_named(ros_domain, checkpoint, capfd) -> None:
    teleop = Node("teleop", namespace="/operator")
    teleop.create_publisher(JointTrajectory, "/left/arm_controller/joint_trajectory", 1)
    with configured(checkpoint, teleop) as watch:
        topic = watch.node.state.configured.controllers.topics()["left_arm_controller"]
        assert topic == "/left/arm_controller/joint_trajectory"
        wait_for(lambda: len(watch.node.get_publishers_info_by_topic(topic)) == 2, 10.0, "both are found")
        watch.node.trigger_activate()
        assert watch.node.state.active is None
    assert "/operator/teleop also commands left_arm_controller" in capfd.readouterr().err


class Controller(Node):
    """The parameter services of the left arm's controller."""

    def __init__(self, joints: list[str]) -> None:
        super().__init__("arm_controller", namespace="/left")
        self.declare_parameter("joints", joints)
        self.declare_parameter("interpolation_method", "splines")


def test_the_controller_s_own_names_are_compared_with_the_contract_s(ros_domain, checkpoint, capfd) -> None:
    controller = Controller(["waist"])
    with configured(checkpoint, controller) as watch:
        reader = watch.node.state.configured.controllers.parameters
        wait_for(lambda: "left_arm_controller" in reader.read(1.0), 10.0, "the controller answers")
        watch.node.trigger_activate()
        assert watch.node.state.active is None
    text = capfd.readouterr().err
    assert "left_arm_controller has joints: ['waist']" in text and "set joints: [lift]" in text
    assert "controllers.left_arm_controller.joint_names" in text


def test_shadow_plans_are_published_by_the_controller_s_name(ros_domain, checkpoint) -> None:
    with configured(checkpoint, dry_run=True) as watch:
        received: list[JointTrajectory] = []
        watch.robot.create_subscription(
            JointTrajectory, "/policy/shadow/right_gripper_controller/joint_trajectory", received.append, 10
        )
        activate(watch)
        wait_for(lambda: len(received) > 2, 15.0, "shadow plans")
        assert received[0].joint_names == ["grip"] and not any(watch.robot.commands.values())
        scale, offset = COMMANDS["right_gripper"]
        assert received[0].points[0].positions[0] * scale + offset == pytest.approx(0.02, abs=0.005)
