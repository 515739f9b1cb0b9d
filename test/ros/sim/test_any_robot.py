# SPDX-License-Identifier: Apache-2.0
"""The simulator node with an MJCF and a contract that are not its own, as a process, over DDS."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
import yaml
from contracts import small_mapping
from diagnostic_msgs.msg import DiagnosticStatus
from ros_testing import call, spinning
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from small_mjcf import write_mjcf
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from waiting import wait_for

START = 90.0  # [s] a process may take to start on a busy machine
WAIT = 30.0  # [s]
TASK = """
class Point:
    instruction = "point to the left"

    def reset(self, model, data, rng):
        data.joint("ball").qpos[0] = 0.1

    def success(self, model, data):
        return data.joint("pan").qpos[0] > 0.7
"""


def parameter_file(folder, mjcf: str, **sim) -> str:
    """A contract with topics and names of its own, and the simulator's section."""
    mapping = small_mapping()
    mapping["joint_states"]["topic"] = "robot/states"
    mapping["cameras"]["top"] |= {"topic": "/overhead/color"}
    mapping["cameras"]["wrist"] |= {"topic": "wrist/color/compressed", "compressed": True}
    sections = {
        "/**": {"ros__parameters": mapping},
        "/sim": {"ros__parameters": {"scene": mjcf, "discovery_time": 0.0, **sim}},
    }
    file = folder / "robot.yaml"
    file.write_text(yaml.safe_dump(sections))
    return str(file)


class Watcher:
    """Keeps the newest message of each topic."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("watcher")
        self.newest: dict[str, object] = {}
        for topic, kind in {
            "/robot/states": JointState,
            "/overhead/color": Image,
            "/overhead/camera_info": CameraInfo,
            "/wrist/color/compressed": CompressedImage,
            "/wrist/camera_info": CameraInfo,
            "/sim/referee": DiagnosticStatus,
        }.items():
            self.node.create_subscription(kind, topic, lambda m, t=topic: self.newest.update({t: m}), 5)
        self.arm = self.node.create_publisher(JointTrajectory, "/arm/joint_trajectory", 2)

    def position(self, joint: str) -> float:
        states = self.newest["/robot/states"]
        return states.position[list(states.name).index(joint)]

    def referee(self) -> dict[str, str]:
        return {value.key: value.value for value in self.newest["/sim/referee"].values}

    def send(self, *positions: float) -> None:
        point = JointTrajectoryPoint(positions=positions)
        point.time_from_start.nanosec = 300_000_000
        self.arm.publish(JointTrajectory(joint_names=["shoulder", "elbow"], points=[point]))


@pytest.mark.slow
def test_a_robot_of_its_own_with_a_task(ros_domain, start_process, tmp_path):
    (tmp_path / "task.py").write_text(TASK)
    mjcf = write_mjcf(tmp_path)
    text = (tmp_path / "small.xml").read_text().replace('"shoulder"', '"pan"')
    (tmp_path / "small.xml").write_text(text)
    file = parameter_file(
        tmp_path, mjcf, scene_joints=["shoulder = pan"], scene_task=f"{tmp_path}/task.py:Point"
    )
    process = start_process("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", "--params-file", file)
    watcher = Watcher()
    with spinning(watcher.node):
        wait_for(lambda: process.alive and len(watcher.newest) == 6, START, "everything is published")
        wait_for(lambda: watcher.arm.get_subscription_count() > 0, WAIT, "the controller subscribes")
        assert set(watcher.newest["/robot/states"].name) == {"shoulder", "elbow", "finger"}
        np.testing.assert_allclose(watcher.position("shoulder"), 0.3, atol=0.02)
        image = watcher.newest["/overhead/color"]
        assert (image.encoding, image.width, image.height) == ("rgb8", 64, 48)
        assert watcher.newest["/wrist/color/compressed"].data[:2].tobytes() == b"\xff\xd8"  # JPEG
        assert watcher.newest["/wrist/camera_info"].width == 48
        assert watcher.referee()["point to the left/done"] == "no"
        assert watcher.newest["/sim/referee"].hardware_id == "simulated small"

        watcher.send(0.9, -0.2)
        wait_for(lambda: abs(watcher.position("shoulder") - 0.9) < 0.02, WAIT, "the arm moves")
        wait_for(lambda: watcher.referee()["point to the left/done"] != "no", WAIT, "the task is done")
        assert watcher.position("finger") == pytest.approx(0.01, abs=2e-3)

        answer = call(watcher.node, Trigger, "/sim/reset", Trigger.Request(), timeout=WAIT)
        assert "objects of 'point to the left' arranged anew" in answer.message
        wait_for(lambda: watcher.referee()["point to the left/done"] == "no", WAIT, "the scene begins anew")
        wait_for(lambda: abs(watcher.position("shoulder") - 0.3) < 0.02, WAIT, "the arm is at home")


@pytest.mark.slow
def test_what_does_not_fit_ends_the_node_with_one_clear_error(ros_domain, start_process, tmp_path):
    file = parameter_file(tmp_path, write_mjcf(tmp_path), home_keyframe="start", scene_cameras=["top = tpo"])
    process = start_process("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", "--params-file", file)
    assert process.process.wait(START) == 1
    words = ("2 problems", "no camera 'tpo'. Did you mean 'top'?", "no keyframe 'start'")
    assert [word for word in words if word not in process.output()] == []
    assert "Traceback" not in process.output()
