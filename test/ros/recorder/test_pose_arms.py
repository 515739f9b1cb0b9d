# SPDX-License-Identifier: Apache-2.0
"""An arm that is controlled by poses is recorded over DDS: measured poses, and its targets as actions."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
import rclpy
from geometry_msgs.msg import PoseStamped
from pose_robot import pose_mapping
from recording_session import TASK
from ros_testing import call
from sensor_msgs.msg import JointState
from small_robot import spinning_together
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from waiting import wait_for

from dit_policy_ros.cli.train import main as train
from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.core.policy_interface import check_policy, match_policy
from dit_policy_ros.core.poses import matrix_from_6d, rotation_angle
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.msg import RecorderStatus
from dit_policy_ros.policy import load_policy
from dit_policy_ros.ros.common import to_stamp
from dit_policy_ros.ros.poses import pose_message
from dit_policy_ros.srv import StartEpisode, StopEpisode

SPEED, TURN, LEAD = 0.02, 0.1, 0.03  # [m/s], [rad/s], [m] of the target ahead of the arm


def one_arm() -> dict:
    """A contract with the left arm only, and no camera."""
    mapping = pose_mapping()
    del mapping["cameras"]
    mapping["joints"] = mapping["joints"][:2]
    mapping["controllers"]["names"] = mapping["controllers"]["names"][:2]
    for group, side in ((mapping["controllers"], "right_"), (mapping["limits"], "right_")):
        for name in [name for name in group if name.startswith(side)]:
            del group[name]
    return mapping


class PoseRobot(rclpy.node.Node):
    """At t [s] the arm is at `pose(t)`, and its leader LEAD ahead; all at 100 Hz."""

    def __init__(self) -> None:
        super().__init__("pose_robot")
        self.contract = parse_contract(one_arm(), "")
        controller = self.contract.controllers[0]
        assert controller.pose is not None
        self.arm, self.status, self.frame = controller.pose, RecorderStatus(), "world"
        self.began_ns = self.get_clock().now().nanoseconds
        self._states = self.create_publisher(JointState, "joint_states", 10)
        self._poses = self.create_publisher(PoseStamped, self.arm.state_topic, 10)
        self.targets = self.create_publisher(PoseStamped, controller.topic, 10)
        self._gripper = self.create_publisher(JointTrajectory, self.contract.controllers[1].topic, 10)
        self.create_subscription(RecorderStatus, "/recorder/status", lambda m: setattr(self, "status", m), 10)
        self.create_timer(0.01, self._publish)

    @staticmethod
    def pose(t: float) -> np.ndarray:
        return np.array([0.0, SPEED * t, 0.2, 0.3, TURN * t, 0.0])

    def _publish(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        stamp, pose = to_stamp(now_ns), self.pose((now_ns - self.began_ns) * 1e-9)
        state = JointState(name=["left_gripper", "left_joint_1"], position=[0.02, 0.0])
        state.header.stamp = stamp
        self._states.publish(state)
        measured = pose_message(self.arm, pose, stamp)
        measured.header.frame_id = self.frame
        self._poses.publish(measured)
        self.targets.publish(pose_message(self.arm, pose + np.array([0, 0, LEAD, 0, 0, 0]), stamp))
        command = JointTrajectory(
            joint_names=["left_gripper"], points=[JointTrajectoryPoint(positions=[0.01])]
        )
        command.points[0].time_from_start.nanosec = 10_000_000
        self._gripper.publish(command)


@pytest.fixture
def robot(make_node):
    robot, node = PoseRobot(), make_node(one_arm())
    with spinning_together(robot, node, threads=6):
        assert node.trigger_configure().name == "SUCCESS"
        assert node.trigger_activate().name == "SUCCESS"
        yield robot


def record(robot: PoseRobot, folder: Path, frames: int = 20) -> Path:
    """One demonstration; the dataset."""
    wait_for(
        lambda: robot.status.state == RecorderStatus.READY and not robot.status.stale_streams, 20.0, "ready"
    )
    assert call(robot, StartEpisode, "/recorder/start_episode", StartEpisode.Request(task=TASK), 30.0).success
    wait_for(lambda: robot.status.frames >= frames, 60.0, f"{frames} frames")
    answer = call(
        robot, StopEpisode, "/recorder/stop_episode", StopEpisode.Request(save=True, success_label=True), 30.0
    )
    assert answer.success, answer.message
    dataset = folder / "dataset"
    wait_for(lambda: (dataset / "meta" / "info.json").exists(), 30.0, "the episode is in the dataset")
    return dataset


def test_poses_are_recorded_as_position_and_6d_rotation(robot, tmp_path) -> None:
    data = read_demonstrations(record(robot, tmp_path))
    names = ("left_ee.x", "left_ee.y", "left_ee.z", "left_ee.r11", "left_ee.r21", "left_ee.r31")
    assert data.state_names == data.action_names
    assert data.state_names == (*names, "left_ee.r12", "left_ee.r22", "left_ee.r32", "left_gripper")
    # The arm's position says at which time a frame is; everything else must be of that time.
    times = data.state[:, 1] / SPEED  # (N,) [s]
    assert np.median(np.diff(times)) == pytest.approx(1.0 / 30.0, abs=2e-3)
    expected = np.array([PoseRobot.pose(t) for t in times])
    np.testing.assert_allclose(data.state[:, :3], expected[:, :3], atol=1e-4)
    rotations = robot.arm.chart.matrix(expected)
    assert rotation_angle(matrix_from_6d(data.state[:, 3:9]), rotations).max() < 2e-3
    # The action is the newest target, whole: position and rotation are of one message.
    sent = data.action[:, 1] / SPEED
    assert (sent <= times + 1e-3).all(), "no frame knows a later target"
    assert (np.diff(sent) >= -1e-6).all()
    leader = np.array([PoseRobot.pose(t) for t in sent])
    np.testing.assert_allclose(data.action[:, 2], leader[:, 2] + LEAD, atol=1e-4)
    assert rotation_angle(matrix_from_6d(data.action[:, 3:9]), robot.arm.chart.matrix(leader)).max() < 2e-3


@pytest.mark.slow
def test_a_policy_is_trained_on_them_and_fits_the_contract(robot, tmp_path) -> None:
    dataset, output = record(robot, tmp_path, 75), tmp_path / "run"
    arguments = ["--dataset", str(dataset), "--output", str(output), "--steps", "3", "--batch-size", "4"]
    assert train([*arguments, "--use-flagged", "--device", "cpu", "--policy", "num_inference_steps=2"]) == 0
    loaded = load_policy(output / "checkpoints" / "last" / "pretrained_model", device="cpu")
    names = robot.contract.layout.names
    policy = match_policy(loaded, names)
    check_policy(policy, robot.contract)
    assert policy.action_names == names
    entries = robot.contract.layout.to_entries(np.tile([*PoseRobot.pose(1.0).tolist(), 0.02], (1, 1)))
    state = np.tile(entries, (policy.n_obs_steps, 1)).astype(np.float32)
    assert policy.predict({}, state, TASK).shape[1] == len(names)


def test_a_pose_in_another_frame_is_refused_and_the_reason_told(robot) -> None:
    robot.frame = "base_link"
    wait_for(lambda: "base_link" in str(robot.status), 20.0, "the status says why")
    answer = call(robot, StartEpisode, "/recorder/start_episode", StartEpisode.Request(task=TASK), 30.0)
    assert not answer.success
    assert "'base_link'" in answer.message
    assert "'world'" in answer.message


def test_actions_of_such_an_arm_are_its_targets(make_node) -> None:
    node = make_node(one_arm(), **{"action.source": "leader"})
    with (
        spinning_together(node),
        pytest.raises(ContractError, match=r"action\.source: expected commanded.*left_ee"),
    ):
        node.configure()
