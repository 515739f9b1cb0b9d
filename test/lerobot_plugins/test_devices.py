# SPDX-License-Identifier: Apache-2.0
"""The robot and the teleoperator as LeRobot makes them, without a graph."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lerobot.robots.utils import make_robot_from_config
from lerobot.teleoperators.utils import make_teleoperator_from_config

from dit_policy_ros.core.errors import DitPolicyError, StreamError
from dit_policy_ros.core.poses import ROTATION_ENTRIES
from lerobot_robot_dit_policy_ros import DitPolicyRosRobotConfig
from lerobot_teleoperator_dit_policy_ros import DitPolicyRosTeleoperatorConfig

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT / "config" / "bimanual.yaml"
PLUGINS = [f"lerobot_{kind}_dit_policy_ros" for kind in ("env", "policy", "robot", "teleoperator")]


def make_robot(tmp_path: Path, **options):
    return make_robot_from_config(
        DitPolicyRosRobotConfig(contract=CONTRACT, calibration_dir=tmp_path, **options)
    )


def test_a_robot_has_the_joints_and_cameras_of_its_contract(tmp_path):
    robot = make_robot(tmp_path, camera_names=["top"])
    assert list(robot.action_features)[:2] == ["left_joint_1.pos", "left_joint_2.pos"]
    assert len(robot.action_features) == 14
    assert robot.observation_features["top"] == (240, 320, 3)
    assert set(robot.observation_features) == {*robot.action_features, "top"}
    assert list(robot.cameras) == ["top"] and not robot.is_connected


@pytest.mark.parametrize("name", ["bimanual.yaml", "bimanual_end_effector.yaml"])
def test_a_teleoperator_has_the_actions_of_the_robot(tmp_path, name):
    contract = ROOT / "config" / name
    config = DitPolicyRosTeleoperatorConfig(contract=contract, calibration_dir=tmp_path)
    teleoperator = make_teleoperator_from_config(config)
    robot = make_robot_from_config(DitPolicyRosRobotConfig(contract=contract, calibration_dir=tmp_path))
    assert teleoperator.action_features == robot.action_features
    assert not teleoperator.is_connected
    sent = []
    robot.robot = SimpleNamespace(command=lambda pose: sent.append(pose) or pose, close=lambda: None)
    joints = np.linspace(0.01, 0.1, len(robot.contract.joints))
    teleoperator.reader = SimpleNamespace(newest=lambda: joints)
    robot.send_action(teleoperator.get_action())
    np.testing.assert_allclose(sent[0], joints, atol=1e-12)


def test_mistakes_are_refused_before_anything_is_connected(tmp_path):
    with pytest.raises(ValueError, match=r"no camera side; it has top, left_wrist, right_wrist"):
        make_robot(tmp_path, camera_names=["side"])
    with pytest.raises(ValueError, match=r"expected NAME:=VALUE, got velocity"):
        make_robot(tmp_path, parameters=["velocity"])
    with pytest.raises(DitPolicyError, match="not connected"):
        make_robot(tmp_path).get_observation()


def test_actions_may_have_the_names_of_our_recorder(tmp_path):
    robot, sent = make_robot(tmp_path), []
    robot.robot = SimpleNamespace(command=lambda pose: sent.append(pose) or pose, close=lambda: None)
    values = {name: 0.01 * index for index, name in enumerate(robot.contract.joints)}
    robot.send_action(values)
    robot.send_action({f"{name}.pos": value for name, value in values.items()})
    np.testing.assert_array_equal(sent[0], sent[1])
    with pytest.raises(DitPolicyError, match=r"the action lacks right_gripper\.pos"):
        robot.send_action({name: value for name, value in values.items() if name != "right_gripper"})


@pytest.mark.slow
def test_plugins_import_neither_ros_nor_a_network_until_they_are_used():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'lerobot_plugins')!r})\n"
        "import lerobot.robots, lerobot.teleoperators, lerobot.policies, lerobot.envs\n"
        "before = set(sys.modules)\n"
        f"import {', '.join(PLUGINS)}\n"
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('lerobot')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    heavy = (
        "rclpy",
        "mujoco",
        "transformers",
        "dit_policy_ros.ros",
        "dit_policy_ros.policy",
        "dit_policy_ros.sim",
    )
    assert not any(f"'{name}" in done.stdout for name in heavy), done.stdout


def test_lerobot_finds_the_plugins_by_their_metadata():
    from importlib import metadata

    version = (ROOT / "package.xml").read_text().partition("<version>")[2].partition("<")[0]
    folder = str(ROOT / "lerobot_plugins")
    found = {each.metadata["Name"]: each.version for each in metadata.distributions(path=[folder])}
    assert found == dict.fromkeys(PLUGINS, version)


@pytest.mark.slow
def test_without_lerobot_the_plugins_are_not_there_for_anything_else():
    """Every module of the distribution that needs no LeRobot itself can be imported, and none is a plugin."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'lerobot_plugins')!r}); sys.modules['lerobot'] = None\n"
        "import dit_policy_ros.cli.main, dit_policy_ros.ros.commanding, dit_policy_ros.policy\n"
        "print(sorted(name for name in sys.modules if name.startswith('lerobot')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['lerobot']", "the one that cannot be imported"


def test_a_robot_tells_policies_how_far_ahead_its_actions_are(tmp_path, monkeypatch):
    import lerobot_robot_dit_policy_ros as plugin

    assert plugin.execution_lead() == 0.0, "no robot"
    robot = make_robot(tmp_path)
    plugin.announce(robot)
    assert plugin.execution_lead() == 0.0, "it is not connected"
    assert plugin.observed_time() is None
    robot.robot = SimpleNamespace(connected=True, lead=0.25, observed=7.5, close=lambda: None)
    assert plugin.execution_lead() == 0.25 and plugin.observed_time() == 7.5


def test_without_lerobot_a_plugin_says_what_is_missing():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'lerobot_plugins')!r}); sys.modules['lerobot'] = None\n"
    )
    for plugin in PLUGINS:
        done = subprocess.run(
            [sys.executable, "-c", f"{code}import {plugin}"], capture_output=True, text=True, timeout=100
        )
        assert "is a plugin of LeRobot, which is not installed" in done.stderr.splitlines()[-1], done.stderr


def test_an_action_for_joints_that_the_robot_has_not_moves_nothing(tmp_path):
    """Of a dataset of another robot, which happens to have the same joints and more."""
    robot, sent = make_robot(tmp_path), []
    robot.robot = SimpleNamespace(command=sent.append, close=lambda: None)
    whole = {f"{name}.pos": 0.0 for name in robot.contract.joints}
    with pytest.raises(DitPolicyError, match=r"the action has lift\.pos; the robot has left_joint_1\.pos"):
        robot.send_action({**whole, "lift.pos": 0.1})
    with pytest.raises(DitPolicyError, match="a joint twice, with and without"):
        robot.send_action({**whole, "left_gripper": 0.1})
    assert sent == []


@pytest.fixture
def pose_robot(tmp_path) -> SimpleNamespace:
    """A robot whose arms are controlled by poses; ``sent`` and ``refused`` are what it gets."""
    contract = ROOT / "config" / "bimanual_end_effector.yaml"
    made = make_robot_from_config(DitPolicyRosRobotConfig(contract=contract, calibration_dir=tmp_path))
    sent, refused = [], []

    def refuse(problem: str) -> None:
        refused.append(problem)
        raise StreamError(problem)

    made.robot = SimpleNamespace(
        command=lambda pose: sent.append(pose) or pose, refuse=refuse, close=lambda: None
    )
    return SimpleNamespace(robot=made, sent=sent, refused=refused)


def test_poses_have_the_entries_of_our_recorder(pose_robot):
    """Coordinates around a reference orientation would mean nothing to whoever reads the dataset."""
    robot = pose_robot.robot
    names = list(robot.action_features)
    assert names[:9] == [
        f"left_ee.{each}.pos" for each in ["x", "y", "z", "r11", "r21", "r31", "r12", "r22", "r32"]
    ]
    assert [name.removesuffix(".pos") for name in names] == list(robot.contract.layout.names)
    joints = np.zeros(len(robot.contract.joints))
    joints[:6] = [0.4, 0.1, 0.3, 0.2, -0.3, 0.1]
    robot.robot.observe = lambda: SimpleNamespace(joints=joints, images={})
    observed = robot.get_observation()
    assert list(observed) == names
    returned = robot.send_action(observed)
    np.testing.assert_allclose(pose_robot.sent[0], joints, atol=1e-12)
    assert returned == pytest.approx(observed)


@pytest.mark.parametrize("entries", [[np.nan] * 6, [0.0] * 6, [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
def test_a_rotation_that_is_none_lets_the_arms_hold(pose_robot, entries):
    robot = pose_robot.robot
    action = dict.fromkeys(robot.action_features, 0.0)
    for arm in ("left_ee", "right_ee"):
        action.update(zip([f"{arm}.{each}.pos" for each in ROTATION_ENTRIES], entries, strict=True))
    with pytest.raises(StreamError, match="a command is no pose"):
        robot.send_action(action)
    assert pose_robot.sent == [] and len(pose_robot.refused) == 1


def test_options_reach_the_robot_and_the_reader(tmp_path):
    robot = make_robot(
        tmp_path,
        delay=0.1,
        silence=2.0,
        observation_wait=3.0,
        velocity_scale=0.5,
        node="mine",
        namespace="/a/",
    )
    settings = robot.robot.settings
    assert (settings.delay, settings.silence, settings.wait, settings.node) == (0.1, 2.0, 3.0, "mine")
    assert settings.namespace == "a" and settings.parameters == {"velocity_scale": "0.5"}
    config = DitPolicyRosTeleoperatorConfig(
        contract=CONTRACT, calibration_dir=tmp_path, topic="leader", kind="array", max_age=0.2, wait=3.0,
        mapping=["left_gripper = 0 * 0.04"], use_sim_time=True,
    )  # fmt: skip
    reader = make_teleoperator_from_config(config).reader._settings
    assert (reader.topic, reader.kind, reader.max_age, reader.wait) == ("leader", "array", 0.2, 3.0)
    assert reader.mapping == ("left_gripper = 0 * 0.04",) and reader.use_sim_time


def test_a_robot_is_announced_when_it_is_connected(tmp_path):
    import lerobot_robot_dit_policy_ros as plugin

    robot = make_robot(tmp_path)
    inner = SimpleNamespace(connected=False, lead=0.3, observed=7.0, close=lambda: None)
    inner.connect = lambda: setattr(inner, "connected", True)
    robot.robot = inner
    robot.connect()
    assert plugin.execution_lead() == 0.3 and plugin.observed_time() == 7.0
    with pytest.raises(DitPolicyError, match="connected already"):
        robot.connect()
    inner.connected = False
    assert plugin.execution_lead() == 0.0 and plugin.observed_time() is None
