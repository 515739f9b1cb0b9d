# SPDX-License-Identifier: Apache-2.0
"""A robot whose topics, names, units and rates are not the contract's is recorded in the contract's.

The recorder and the converter share their streams, so this holds for both.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from rosbags.rosbag2 import StoragePlugin
from sensor_msgs.msg import Image, JointState
from small_bags import BEGIN, SECOND, write_bag
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.cli.bag_to_dataset import main
from dit_policy_ros.data.dataset import read_records
from dit_policy_ros.ros.common import to_stamp

DEGREE = math.pi / 180.0
SIDES = ("left", "right")
JOINTS = [f"{side}_{name}" for side in SIDES for name in ("lift", "grip")]
# By joint: `joint = value * scale + offset`, in the joint states and in the commands.
STATES = {"left_lift": (DEGREE, 0.0), "left_grip": (0.001, 0.0)}
STATES |= {"right_lift": (-DEGREE, 0.25), "right_grip": (0.001, 0.0)}
COMMANDS = STATES | {"left_grip": (0.0004, 0.0), "right_grip": (-0.0004, 0.04)}
LEAD = 0.002  # of the commands before the states, in the contract's units


def position(joint: str, t: float) -> float:
    """The position of a joint at t [s], in the contract's units."""
    return (0.02 + 0.01 * math.sin(t)) if "grip" in joint else 0.2 * t * (1 if "left" in joint else -1)


def contract(fps: float, camera_fps: float | None) -> dict[str, Any]:
    limits = {
        joint: {"position_min": 0.0, "position_max": 0.05, "velocity": 0.5, "acceleration": 5.0}
        if "grip" in joint
        else {"position_min": -3.0, "position_max": 3.0, "velocity": 3.0, "acceleration": 9.0}
        for joint in JOINTS
    }
    camera = {"topic": "/cam", "height": 32, "width": 48, "max_age": 0.5, "fps": camera_fps}
    return {
        "robot_type": "foreign",
        "fps": fps,
        "joints": JOINTS,
        "joint_states": {
            "topics": [f"/{side}/joint_states" for side in SIDES],
            "prefixes": [f"{side}_" for side in SIDES],
            "max_age": 0.3,
            "fps": 20.0,
        },
        "robot_names": [
            f"{joint} = {joint} * {scale} + {offset}" for joint, (scale, offset) in STATES.items()
        ],
        **({} if camera_fps is None else {"cameras": {"names": ["top"], "top": camera}}),
        "controllers": {
            "names": list(SIDES),
            **{
                side: {
                    "type": "joint_trajectory_controller",
                    "node": f"/{side}/controller",
                    "joints": [f"{side}_lift", f"{side}_grip"],
                    "joint_names": ["lift", "grip * {} + {}".format(*COMMANDS[f"{side}_grip"])],
                }
                for side in SIDES
            },
        },
        "limits": limits,
    }


def value(joint: str, t: float, units: dict[str, tuple[float, float]], lead: float = 0.0) -> float:
    scale, offset = units[joint]
    return (position(joint, t) + lead - offset) / scale


def joint_state(stamp: int, values: dict[str, float]) -> JointState:
    message = JointState(name=list(values), position=list(values.values()))  # no velocities
    message.header.stamp = to_stamp(stamp)
    return message


def messages(camera_fps: float | None, seconds: float = 5.0) -> list[tuple[int, str, object]]:
    """Arms at 200 Hz, the left gripper with its arm, the right one alone at 20 Hz."""
    found: list[tuple[int, str, object]] = []
    for number in range(round(seconds * 200)):
        t, stamp = number / 200, BEGIN + number * SECOND // 200
        left = {name: value(f"left_{name}", t, STATES) for name in ("grip", "lift")}
        found.append((stamp + 1_000_000, "/left/joint_states", joint_state(stamp, {"fan": math.nan} | left)))
        right = {"lift": value("right_lift", t, STATES)}
        found.append((stamp + 1_000_000, "/right/joint_states", joint_state(stamp, right)))
        if number % 10 == 0:
            grip = joint_state(stamp, {"grip": value("right_grip", t, STATES)})
            found.append((stamp + 1_500_000, "/right/joint_states", grip))
            for side in SIDES:
                leader = {name: value(f"{side}_{name}", t, STATES, LEAD) for name in ("lift", "grip")}
                found.append((stamp + 1_000_000, f"/leader_{side}/joint_states", joint_state(stamp, leader)))
                found.append((stamp + 2_000_000, f"/{side}/controller/joint_trajectory", command(side, t)))
    for number in range(round(seconds * (camera_fps or 0.0))):
        stamp = BEGIN + round(number * SECOND / (camera_fps or 1.0))
        pixels = np.random.default_rng(number).integers(0, 255, (32, 48, 3), dtype=np.uint8)
        image = Image(height=32, width=48, encoding="rgb8", step=3 * 48, data=pixels.tobytes())
        image.header.stamp = to_stamp(stamp)
        found.append((stamp + 20_000_000, "/cam", image))
    return sorted(found, key=lambda entry: entry[0])


def command(side: str, t: float) -> JointTrajectory:
    """Reaches its point when the next one comes."""
    goal = t + 0.05
    point = JointTrajectoryPoint(
        positions=[value(f"{side}_{name}", goal, COMMANDS, LEAD) for name in ("grip", "lift")]
    )
    point.time_from_start.nanosec = 50_000_000
    return JointTrajectory(joint_names=["grip", "lift"], points=[point])


def converted(tmp_path: Path, fps: float, camera_fps: float | None, **recorder: Any) -> tuple[Any, Any]:
    """The dataset, and the record of its one episode."""
    from lerobot.datasets import LeRobotDataset

    sections = {
        "/**": {"ros__parameters": contract(fps, camera_fps)},
        "/recorder": {"ros__parameters": recorder},
    }
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(sections))
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, messages(camera_fps))
    root = tmp_path / "set"
    arguments = [str(bag), "--config", str(tmp_path / "robot.yaml"), "--dataset", str(root)]
    assert main([*arguments, "--episode", "1", "4.5", "push"]) == 0
    return LeRobotDataset("local/test", root=root, video_backend="pyav"), read_records(root)[0]


LEADER = {
    "action": {
        "source": "leader",
        "topics": [f"/leader_{side}/joint_states" for side in SIDES],
        "prefixes": [f"{side}_" for side in SIDES],
        "mapping": [f"{joint} = {joint} * {scale} + {offset}" for joint, (scale, offset) in STATES.items()],
    }
}


@pytest.mark.parametrize(
    ("fps", "camera_fps"),
    [
        (50.0, 30.0),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((50.0, 25.0), (15.0, 15.0))),
        (50.0, None),
    ],
)
@pytest.mark.parametrize("recorder", [{}, LEADER], ids=["commands", "leader"])
def test_it_is_recorded_in_the_contract_s_names_and_units(
    tmp_path: Path, fps: float, camera_fps: float | None, recorder: dict[str, Any]
) -> None:
    dataset, record = converted(tmp_path, fps, camera_fps, **recorder)
    assert record.passed, record.reasons
    assert record.repeated == {}
    assert dataset.meta.fps == fps and dataset.num_frames >= 3 * fps
    assert [*dataset.meta.features["observation.state"]["names"]] == JOINTS
    for row in range(dataset.num_frames):
        stamp_ns = record.recorded_ns + round(row * SECOND / fps)
        t = (stamp_ns - BEGIN) / SECOND
        frame = dataset[row]
        expected = [position(joint, t) for joint in JOINTS]
        np.testing.assert_allclose(frame["observation.state"], expected, atol=1e-4)
        # A controller goes to its command from where it is; of a leader the newest message counts.
        near = 2.0 * LEAD if not recorder else LEAD + 0.2 * 0.05
        np.testing.assert_allclose(frame["action"], [each + LEAD for each in expected], atol=near)
