# SPDX-License-Identifier: Apache-2.0
"""The simulator node as a process, over DDS."""

import os
import signal

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from rcl_interfaces.msg import Parameter, ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from ros_testing import call, spinning  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, JointState  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint  # noqa: E402

from dit_policy_ros.ros.common import stamp_ns, to_stamp  # noqa: E402
from dit_policy_ros.ros.common.qos import COMMANDS  # noqa: E402
from dit_policy_ros.ros.sim._clock import MAX_AHEAD_NS  # noqa: E402
from dit_policy_ros.sim.controllers import ControllerRelease, ControllerSettings  # noqa: E402
from dit_policy_ros.sim.robot import CONTROLLERS, HOME, JOINTS, STEP_NS  # noqa: E402

START = 60.0  # [s] a process may take to start on a busy machine
WAIT = 20.0  # [s]
NO_STATES = "control_msgs has no messages here: make setup"
AT_ONCE = ("-p", "discovery_time:=0.0")  # nobody else is in the test's domain


class Listener:
    """Collects everything the simulator publishes, and sends trajectories."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("listener")
        self.joints: list[JointState] = []
        self.images: dict[str, list[Image]] = {}
        self.infos: dict[str, CameraInfo] = {}
        self.referee: list[dict[str, str]] = []
        # Joint states with default QoS, as most tools; images with sensor QoS, as the policy.
        self.node.create_subscription(JointState, "/joint_states", self.joints.append, 10)
        for camera in ("top", "left_wrist", "right_wrist"):
            frames = self.images[camera] = []
            self.node.create_subscription(
                Image, f"/{camera}/image_raw", frames.append, qos_profile_sensor_data
            )
            self.node.create_subscription(
                CameraInfo, f"/{camera}/camera_info", lambda m, c=camera: self.infos.__setitem__(c, m), 5
            )
        self.node.create_subscription(DiagnosticStatus, "/sim/referee", self._on_referee, 1)
        self.commands = {
            name: self.node.create_publisher(JointTrajectory, f"/{name}/joint_trajectory", 2)
            for name in CONTROLLERS
        }

    def _on_referee(self, msg: DiagnosticStatus) -> None:
        self.referee.append({value.key: value.value for value in msg.values})

    def position(self, joint: str) -> float:
        msg = self.joints[-1]
        return msg.position[list(msg.name).index(joint)]

    def send(self, controller: str, *positions: float, after: float = 0.5, **fields) -> None:
        msg = JointTrajectory(joint_names=fields.pop("names", CONTROLLERS[controller]))
        point = JointTrajectoryPoint(positions=positions, **fields)
        point.time_from_start.nanosec = round(after * 1e9)
        msg.points = [point]
        self.commands[controller].publish(msg)


@pytest.fixture
def running(ros_domain, start_process, wait_for):
    """A running simulator process, and a connected listener."""
    process = start_process("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", "-p", "seed:=4", *AT_ONCE)
    listener = Listener()
    with spinning(listener.node):
        wait_for(lambda: process.alive and all(listener.images.values()), START, "all cameras publish")
        wait_for(lambda: listener.referee and listener.joints, WAIT, "joint states and referee are published")
        connected = [p.get_subscription_count for p in listener.commands.values()]
        wait_for(lambda: all(count() for count in connected), WAIT, "controllers subscribe")
        yield process, listener


def test_published_messages(running, wait_for):
    process, listener = running
    wait_for(lambda: len(listener.joints) > 100 and len(listener.images["top"]) > 20, WAIT, "messages arrive")
    now_ns = listener.node.get_clock().now().nanoseconds

    joints = listener.joints[-1]
    assert set(joints.name) == set(JOINTS)
    assert list(joints.name) != list(JOINTS)  # so that code that reads by position fails here
    assert len(joints.position) == len(joints.velocity) == 14
    np.testing.assert_allclose([listener.position(j) for j in JOINTS], HOME, atol=0.01)
    assert 0 <= now_ns - stamp_ns(joints.header.stamp) < 5_000_000_000
    stamps = np.array([stamp_ns(m.header.stamp) for m in listener.joints])
    assert (np.diff(stamps) > 0).all()
    assert np.median(np.diff(stamps)) <= 10_000_000  # 100 Hz or more, in simulated time

    for camera, frames in listener.images.items():
        image = frames[-1]
        assert (image.encoding, image.width, image.height, image.step) == ("rgb8", 320, 240, 960)
        assert image.header.frame_id == f"{camera}_optical_frame"
        pixels = np.frombuffer(image.data, np.uint8).reshape(240, 320, 3)
        assert pixels.std() > 10
        wait_for(lambda c=camera: c in listener.infos, WAIT, "camera_info arrives")
        info = listener.infos[camera]
        assert (info.width, info.height, info.header.frame_id) == (320, 240, image.header.frame_id)
        assert info.k[0] == info.k[4] > 100
        assert (info.k[2], info.k[5]) == (159.5, 119.5)
    stamps = np.array([stamp_ns(m.header.stamp) for m in listener.images["top"]])
    assert np.median(np.diff(stamps)) == pytest.approx(1e9 / 30, abs=2.1e6)

    referee = listener.referee[-1]
    assert float(referee["touch the red cube with the left arm/distance"]) > 0.05
    assert referee["touch the red cube with the left arm/success"] == "false"
    assert float(referee["real_time_factor"]) >= 0.0

    os.kill(process.process.pid, signal.SIGTERM)
    assert process.process.wait(10.0) == 0


def test_commands_move_the_arms_and_rejections_are_only_logged(running, wait_for):
    process, listener = running
    listener.send("left_arm_controller", *(HOME[:6] + 0.2))
    listener.send("right_gripper_controller", 0.035)
    wait_for(lambda: abs(listener.position("left_joint_1") - 0.2) < 0.01, WAIT, "the left arm moves")
    wait_for(lambda: abs(listener.position("right_gripper") - 0.035) < 0.003, WAIT, "the gripper opens")
    assert listener.position("right_joint_1") == pytest.approx(0.0, abs=0.01)

    listener.send("left_arm_controller", *HOME[:5], names=list(CONTROLLERS["left_arm_controller"][:5]))
    wait_for(lambda: "allow_partial_joints_goal" in process.output(), WAIT, "the rule is named")
    listener.send("left_arm_controller", *HOME[:6], velocities=[0.1] * 6)
    wait_for(lambda: "non-zero velocity at the end" in process.output(), WAIT, "the rule is named")
    wait_for(lambda: listener.referee[-1]["trajectories_rejected"] == "2", WAIT, "rejections are counted")
    assert listener.position("left_joint_1") == pytest.approx(0.2, abs=0.01)

    listener.send("left_arm_controller", float("nan"), *HOME[1:6])
    wait_for(lambda: "is NaN: the controller accepted it" in process.output(), WAIT, "NaN is logged")
    before = len(listener.joints)
    wait_for(lambda: len(listener.joints) > before + 20, WAIT, "joint states are still published")
    assert all(np.isfinite(m.position).all() for m in listener.joints)


@pytest.mark.slow
def test_a_controller_publishes_its_state_only_while_it_is_active(running, wait_for):
    state_type = pytest.importorskip("control_msgs.msg", reason=NO_STATES).JointTrajectoryControllerState
    _, listener = running
    name, states = "left_arm_controller", []
    listener.node.create_subscription(state_type, f"/{name}/controller_state", states.append, 10)

    def set_active(active):
        request = SetBool.Request(data=active)
        assert call(listener.node, SetBool, f"/sim/{name}/set_active", request).success

    wait_for(lambda: len(states) > 10, WAIT, "an active controller publishes")
    state = states[-1]
    assert list(state.joint_names) == list(CONTROLLERS[name])
    assert list(state.reference.positions) == pytest.approx(HOME[:6], abs=1e-6)
    assert list(state.feedback.positions) == pytest.approx(HOME[:6], abs=0.01)
    assert list(state.output.positions) == pytest.approx(HOME[:6], abs=1e-6)
    stamps = np.array([stamp_ns(m.header.stamp) for m in states])
    assert (np.diff(stamps) > 0).all()

    set_active(False)
    newest = stamp_ns(listener.joints[-1].header.stamp)
    wait_for(lambda: stamp_ns(listener.joints[-1].header.stamp) > newest + 500_000_000, WAIT, "time goes on")
    silent = len(states)
    listener.send(name, *(HOME[:6] + 0.2))
    newest = stamp_ns(listener.joints[-1].header.stamp)
    wait_for(lambda: stamp_ns(listener.joints[-1].header.stamp) > newest + 500_000_000, WAIT, "time goes on")
    assert len(states) == silent, "an inactive controller is silent"
    assert listener.position("left_joint_1") == pytest.approx(0.0, abs=0.01), "and drops what it gets"

    set_active(True)
    wait_for(lambda: len(states) > silent + 5, WAIT, "it publishes again")
    assert list(states[-1].reference.positions) == pytest.approx(HOME[:6], abs=1e-6)
    listener.send(name, *(HOME[:6] + 0.2))
    wait_for(lambda: abs(listener.position("left_joint_1") - 0.2) < 0.01, WAIT, "and follows")


def test_a_stamped_trajectory_runs_on_the_nodes_clock(running, wait_for):
    state_type = pytest.importorskip("control_msgs.msg", reason=NO_STATES).JointTrajectoryControllerState
    _, listener = running
    states = []
    topic = "/left_arm_controller/controller_state"
    listener.node.create_subscription(state_type, topic, states.append, 10)
    wait_for(lambda: states, WAIT, "the controller's states arrive")
    msg = JointTrajectory(joint_names=CONTROLLERS["left_arm_controller"])
    start_ns = listener.node.get_clock().now().nanoseconds
    msg.header.stamp = to_stamp(start_ns)
    for second in (0, 1, 2):
        point = JointTrajectoryPoint(positions=HOME[:6] + 0.2 * second)
        point.time_from_start.sec = second
        msg.points.append(point)
    listener.commands["left_arm_controller"].publish(msg)
    wait_for(lambda: listener.position("left_joint_1") > 0.39, WAIT, "the trajectory ends")

    def from_the_line(samples):
        """Distances [rad] to the straight line of 0.2 rad/s from the stamp on."""
        due = [(t, q) for t, q in samples if start_ns + 5e8 < t < start_ns + 1.9e9]
        return [q - 0.2 * (t - start_ns) * 1e-9 for t, q in due]

    commanded = from_the_line((stamp_ns(m.header.stamp), m.reference.positions[0]) for m in states)
    assert commanded
    assert commanded == pytest.approx([0.0] * len(commanded), abs=0.005)  # its period is 8 ms
    measured = from_the_line(
        (stamp_ns(m.header.stamp), m.position[list(m.name).index("left_joint_1")]) for m in listener.joints
    )
    # The servo lags by about 30 ms. After a stall of the computer it lags more, until it has caught up.
    assert np.median(measured) == pytest.approx(0.0, abs=0.02)


@pytest.mark.slow
def test_reset_moves_the_arms_home_and_the_cubes_to_new_poses(running, wait_for):
    _, listener = running
    listener.send("left_arm_controller", *(HOME[:6] + 0.3), after=0.3)
    wait_for(lambda: abs(listener.position("left_joint_1") - 0.3) < 0.01, WAIT, "the left arm moves")
    key = "touch the red cube with the right arm/distance"

    def report_of(scene: str) -> dict[str, str]:
        """The first report on a scene. A repeated call (see `call`) may have begun the next one already."""
        return wait_for(
            lambda: next((each for each in listener.referee[seen:] if each["scene"] == scene), None),
            WAIT,
            f"the referee knows the scene {scene}",
        )

    seen = 0
    before = report_of("4/0")[key]
    answer = call(listener.node, Trigger, "/sim/reset", Trigger.Request())
    assert answer.success
    assert "scene 1 of seed 4" in answer.message
    wait_for(lambda: abs(listener.position("left_joint_1")) < 0.01, WAIT, "the arm is at home")
    second = report_of("4/1")[key]
    assert second != before, "the cubes lie elsewhere"

    # Setting the seed again restarts the same sequence of scenes.
    for seed in (5, 4):
        value = ParameterValue(type=2, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name="seed", value=value)])
        assert call(listener.node, SetParameters, "/sim/set_parameters", request).results[0].successful
        seen = len(listener.referee)
        answer = call(listener.node, Trigger, "/sim/reset", Trigger.Request())
        assert f"scene 0 of seed {seed}" in answer.message
    call(listener.node, Trigger, "/sim/reset", Trigger.Request())
    assert float(report_of("4/1")[key]) == pytest.approx(float(second), abs=0.002)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-p", "camera_rate:=0.0"), ("camera_rate", "from 1 to 60")),
        (("-p", "image_widht:=320"), ("image_widht", "image_width")),
        (("-p", "cameras:=[top, side]"), ("side", "left_wrist")),
        (("-p", "use_sim_time:=true"), ("use_sim_time", "false")),
    ],
)
def test_a_wrong_parameter_is_one_clear_error(ros_domain, start_process, arguments, words):
    process = start_process("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", *AT_ONCE, *arguments)
    assert process.process.wait(START) == 1
    assert "Traceback" not in process.output()
    assert all(word in process.output() for word in words)


def test_parallel_gripper_controllers_accept_goals(ros_domain, start_process, wait_for):
    action = pytest.importorskip("control_msgs.action", reason="control_msgs is not installed")
    from rclpy.action import ActionClient

    arguments = ("--ros-args", "-p", "gripper_type:=parallel_gripper_controller", *AT_ONCE)
    start_process("sim", "dit_policy_ros.ros.sim.sim_node", *arguments)
    listener = Listener()
    client = ActionClient(
        listener.node, action.ParallelGripperCommand, "/left_gripper_controller/gripper_cmd"
    )
    with spinning(listener.node):
        wait_for(client.server_is_ready, START, "the gripper's action")
        goal = action.ParallelGripperCommand.Goal()
        goal.command.position = [0.0]
        accepted = client.send_goal_async(goal)
        wait_for(lambda: accepted.done() and accepted.result().accepted, WAIT, "the goal is accepted")
        ended = accepted.result().get_result_async()
        wait_for(ended.done, WAIT, "the goal ends")
        assert ended.result().result.reached_goal
        wait_for(lambda: listener.position("left_gripper") < 1e-3, WAIT, "the fingers are closed")
        goal.command.position = [0.0, 0.01]
        refused = client.send_goal_async(goal)
        wait_for(refused.done, WAIT, "an answer")
        assert not refused.result().accepted
        assert not listener.commands["left_gripper_controller"].get_subscription_count()
        client.destroy()


@pytest.mark.slow
def test_its_own_clock_waits_for_the_operator_and_runs_without_one(ros_domain, start_process, wait_for):
    # Small images: at 600 of full size a second, some get lost on the way.
    parameters = ("speed:=20.0", "waits_for:=leader/joint_states", "cameras:=[top]")
    parameters += ("image_width:=64", "image_height:=48")
    given = [part for each in parameters for part in ("-p", each)]
    process = start_process("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", *given, *AT_ONCE)
    node = rclpy.create_node("operator")
    clock: list[int] = []
    images: list[int] = []
    node.create_subscription(Clock, "/clock", lambda m: clock.append(stamp_ns(m.clock)), 10)
    node.create_subscription(Image, "/top/image_raw", lambda m: images.append(stamp_ns(m.header.stamp)), 50)
    leader = node.create_publisher(JointState, "leader/joint_states", COMMANDS)
    paused: list[int] = []  # the stamp of an operator who does not proceed

    def repeat_command() -> None:
        if paused:
            leader.publish(JointState(header=Header(stamp=to_stamp(paused[0]))))

    timer = node.create_timer(0.05, repeat_command)
    with spinning(node):
        wait_for(lambda: process.alive and len(images) > 30, START, "time runs without an operator")
        wait_for(lambda: leader.get_subscription_count() > 0, WAIT, "the simulator listens")
        paused.append(clock[-1])
        wait_for(lambda: len(clock) > 50 and len(set(clock[-50:])) == 1, WAIT, "the clock stops")
        assert paused[0] <= clock[-1]
        seen = clock[-1]
        paused[0] = seen + 500_000_000
        wait_for(lambda: clock[-1] > seen + 400_000_000, WAIT, "it follows the operator")
        wait_for(lambda: len(set(clock[-50:])) == 1, WAIT, "it waits again")
        assert clock[-1] <= paused[0] + MAX_AHEAD_NS + STEP_NS
        node.destroy_timer(timer)
        wait_for(lambda: clock[-1] > paused[0] + 10**9, WAIT, "it does not wait for a silent operator")
    assert all(np.diff(clock) >= 0), "it never runs backwards"
    gaps = np.diff(images) * 1e-9 * 30
    np.testing.assert_allclose(gaps, 1.0, atol=0.1, err_msg="no image is skipped at any speed")
    node.destroy_node()


def test_without_a_renderer_the_error_says_what_to_install(ros_domain, start_process):
    process = start_process(
        "sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", *AT_ONCE, MUJOCO_GL="glfw"
    )
    assert process.process.wait(START) == 1
    assert "Traceback" not in process.output()
    assert "MUJOCO_GL" in process.output()


def test_the_node_ends_when_its_physics_thread_dies(ros_domain):
    from dit_policy_ros.ros.sim.sim_node import SimNode

    class Breaking(SimNode):
        def _publish_joints(self) -> None:
            raise ArithmeticError("a bug")

    node = Breaking(cli_args=["--ros-args", *AT_ONCE])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        with pytest.raises(RuntimeError, match="a thread of the simulation has died"):
            for _ in range(1000):
                executor.spin_once(timeout_sec=0.1)
    finally:
        node.shut_down()
        executor.shutdown()
        node.destroy_node()


def test_the_controllers_are_those_of_the_wanted_release(ros_domain):
    from dit_policy_ros.ros.sim.sim_node import SimNode

    wanted = {"controller_release": "rolling", "allow_trajectory_replacement": True, "discovery_time": 0.0}
    node = SimNode(parameter_overrides=[rclpy.parameter.Parameter(k, value=v) for k, v in wanted.items()])
    try:
        found = {controller.settings for controller in node._sim.controllers.values()}
    finally:
        node.shut_down()
        node.destroy_node()
    assert found == {ControllerSettings(ControllerRelease.ROLLING, allow_trajectory_replacement=True)}
