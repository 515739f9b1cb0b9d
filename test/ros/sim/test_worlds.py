# SPDX-License-Identifier: Apache-2.0
"""What the simulator shows for its parameters and a contract."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import yaml
from contracts import SMALL_CONTRACT, small_mapping
from small_mjcf import write_mjcf

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.ros.sim._parameters import SIM_PARAMETERS
from dit_policy_ros.ros.sim._worlds import described_controllers, make_world
from dit_policy_ros.sim.controllers import ParallelGripperController, TrajectoryController
from dit_policy_ros.sim.robot import CONTROLLERS, JOINTS

CONFIG = Path(__file__).parents[3] / "config" / "bimanual.yaml"
DEFAULTS = {entry.name: entry.default for entry in SIM_PARAMETERS}


def built_in(**changes):
    """The mapping of the built-in robot's contract."""
    return yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"] | changes


def world(contract=None, **settings):
    return make_world(DEFAULTS | settings, contract)


def refusal(contract=None, **settings) -> str:
    with pytest.raises(SimulationError) as caught:
        world(contract, **settings)
    return str(caught.value)


def test_without_a_contract_and_with_its_own_the_built_in_robot_is_the_same():
    plain, given = world(), world(parse_contract(built_in(), ""))
    for each in (plain, given):
        assert {name: c.joints for name, c in each.robot.controllers.items()} == CONTROLLERS
        assert [camera.topic for camera in each.cameras] == [
            f"{name}/image_raw" for name in ("top", "left_wrist", "right_wrist")
        ]
        assert each.notes == ()


def test_a_renamed_controller_is_followed_and_joints_without_one_stay():
    mapping = built_in()
    mapping["joints"] = [name for name in JOINTS if name.startswith("left")]
    for group in ("limits", "rest_pose"):
        mapping[group] = {name: mapping[group][name] for name in mapping["joints"]}
    mapping["controllers"] = {
        "names": ["arm_a", "hand_a"],
        "arm_a": mapping["controllers"]["left_arm_controller"],
        "hand_a": mapping["controllers"]["left_gripper_controller"] | {"type": "parallel_gripper_controller"},
    }
    contract = parse_contract(mapping, "")
    robot = world(contract).robot
    assert (
        list(robot.controllers)
        == ["arm_a", "hand_a"]
        == [each.name for each in described_controllers(contract)]
    )
    assert isinstance(robot.controllers["arm_a"], TrajectoryController)
    assert isinstance(robot.controllers["hand_a"], ParallelGripperController)
    assert robot.joints == JOINTS
    before = robot.command
    robot.step(100)
    assert (robot.command == before).all()


def test_images_come_on_the_contracts_topics():
    mapping = built_in()
    mapping["cameras"]["top"] |= {"topic": "/overhead/color/compressed", "compressed": True}
    mapping["cameras"]["names"].append("head")
    mapping["cameras"]["head"] = mapping["cameras"]["left_wrist"] | {"topic": "head/image_raw"}
    made = world(parse_contract(mapping, ""))
    top = next(camera for camera in made.cameras if camera.name == "top")
    assert (top.topic, top.compressed, top.info_topic) == (
        "/overhead/color/compressed",
        True,
        "/overhead/camera_info",
    )
    assert made.cameras[1].info_topic == "left_wrist/camera_info"
    assert any("'head'" in note for note in made.notes)


def test_a_contract_of_another_robot_needs_a_scene():
    message = refusal(SMALL_CONTRACT)
    assert "no joint shoulder, finger, elbow" in message
    assert "scene:=my_robot.xml" in message


def test_a_gripper_type_that_contradicts_the_contract_is_refused():
    message = refusal(parse_contract(built_in(), ""), gripper_type="parallel_gripper_controller")
    assert "left_gripper_controller, right_gripper_controller" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scene_joints", ("a = b",)),
        ("home_keyframe", "home"),
        ("scene_task", "a:b"),
        ("scene_mimics", ("a = b",)),
    ],
)
def test_what_only_a_scene_has_is_refused_without_one(name, value):
    assert name in refusal(**{name: value})


def test_a_scene_needs_a_contract(tmp_path):
    assert "--params-file my_robot.yaml" in refusal(scene=write_mjcf(tmp_path))


def test_a_scene_has_the_contracts_cameras_controllers_and_vectors(tmp_path):
    mapping = small_mapping()
    mapping["vectors"] = {
        "names": ["speed", "wrench"],
        "speed": {
            "type": "sensor_msgs/msg/JointState",
            "topic": "joint_states",
            "field": "velocity",
            "max_age": 0.5,
        },
        "wrench": {"type": "geometry_msgs/msg/WrenchStamped", "topic": "wrench", "max_age": 0.5},
    }
    made = world(parse_contract(mapping, ""), scene=write_mjcf(tmp_path), seed=5)
    assert [(c.name, c.topic, c.width, c.height, c.rate) for c in made.cameras] == [
        ("top", "top/image_raw", 64, 48, 30.0),
        ("wrist", "wrist/image_raw", 48, 32, 30.0),
    ]
    assert list(made.robot.controllers) == ["arm", "hand"]
    assert made.what == "simulated small"
    assert [note for note in made.notes if "'wrench'" in note] and len(made.notes) == 1
    assert (made.touched(), made.judge.done()) == ((), {})


def test_the_controllers_imitate_the_release_that_is_asked_for(tmp_path):
    made = world(SMALL_CONTRACT, scene=write_mjcf(tmp_path), controller_release="humble")
    assert not made.robot.controllers["arm"].settings.looks_ahead


def test_a_film_camera_is_one_more_at_half_the_rate():
    made = world(film_camera="overview", camera_rate=20.0)
    assert [(each.name, each.rate) for each in made.cameras][-1] == ("overview", 10.0)
    assert {each.rate for each in made.cameras[:-1]} == {20.0}
