# SPDX-License-Identifier: Apache-2.0
"""urdf/bimanual.urdf describes the same robot as mjcf/bimanual.xml."""

import xml.etree.ElementTree as ElementTree

import mujoco
import numpy as np
import pytest

from dit_policy_ros.sim.robot import HOME, JOINTS, SIDES, BimanualSim
from dit_policy_ros.sim.robot._assets import asset_path

URDF = asset_path("urdf/bimanual.urdf")
LINKS = tuple(
    f"{side}_{name}_link"
    for side in SIDES
    for name in (
        "base", "shoulder", "upper_arm", "forearm", "roll", "wrist", "gripper", "finger_left", "finger_right"
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def robot() -> ElementTree.Element:
    return ElementTree.parse(URDF).getroot()


def numbers(element: ElementTree.Element | None, key: str, default: str) -> np.ndarray:
    return np.array((default if element is None else element.get(key, default)).split(), dtype=float)


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Returns the (3, 3) rotation about a unit axis (3,) by an angle [rad] (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def forward(robot: ElementTree.Element, q: dict[str, float]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns {link: (position (3,), rotation (3, 3))} in the world."""
    poses = {"world": (np.zeros(3), np.eye(3))}
    joints = robot.findall("joint")
    while joints:
        ready = [j for j in joints if j.find("parent").get("link") in poses]
        assert ready, "links that hang in the air"
        for joint in ready:
            position, turn = poses[joint.find("parent").get("link")]
            origin = joint.find("origin")
            roll, pitch, yaw = numbers(origin, "rpy", "0 0 0")
            position = position + turn @ numbers(origin, "xyz", "0 0 0")
            for axis, angle in (([0, 0, 1], yaw), ([0, 1, 0], pitch), ([1, 0, 0], roll)):
                turn = turn @ rotation(np.array(axis), angle)
            axis = numbers(joint.find("axis"), "xyz", "1 0 0")
            mimic = joint.find("mimic")
            value = q.get(joint.get("name") if mimic is None else mimic.get("joint"), 0.0)
            if joint.get("type") == "revolute":
                turn = turn @ rotation(axis, value)
            elif joint.get("type") == "prismatic":
                position = position + turn @ axis * value
            poses[joint.find("child").get("link")] = (position, turn)
        joints = [j for j in joints if j not in ready]
    return poses


@pytest.mark.parametrize("seed", range(5))
def test_forward_kinematics_agree(robot, seed):
    sim = BimanualSim()
    rng = np.random.default_rng(seed)
    pose = rng.uniform(sim.lower, sim.upper)
    sim.place(pose)
    links = forward(robot, dict(zip(JOINTS, pose, strict=True)))
    for name in LINKS:
        body = sim.data.body(name)
        np.testing.assert_allclose(links[name][0], body.xpos, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(links[name][1], body.xmat.reshape(3, 3), atol=1e-6, err_msg=name)
    for side in SIDES:
        np.testing.assert_allclose(links[f"{side}_tcp"][0], sim.tcp(side), atol=1e-6)
    for camera in ("top", "left_wrist", "right_wrist"):
        seen = sim.data.camera(camera)
        right, up, backwards = seen.xmat.reshape(3, 3).T
        position, turn = links[f"{camera}_optical_frame"]
        np.testing.assert_allclose(position, seen.xpos, atol=1e-6, err_msg=camera)
        np.testing.assert_allclose(turn.T, [right, -up, -backwards], atol=2e-5, err_msg=camera)


def test_limits_agree(robot):
    sim = BimanualSim()
    velocity = [2.5, 2.5, 2.5, 3.0, 3.0, 3.0, 0.2] * 2  # [rad/s], [m/s], as in config/bimanual.yaml
    for index, name in enumerate(JOINTS):
        limit = robot.find(f"joint[@name='{name}']/limit")
        assert float(limit.get("lower")) == sim.lower[index]
        assert float(limit.get("upper")) == sim.upper[index]
        assert float(limit.get("velocity")) == velocity[index]
        assert float(limit.get("effort")) == sim.model.actuator(name).forcerange[1]


def test_masses_agree(robot):
    model = BimanualSim().model
    for name in LINKS:
        mass = robot.find(f"link[@name='{name}']/inertial/mass")
        if mass is not None:
            assert float(mass.get("value")) == pytest.approx(model.body(name).mass[0])


def test_ros2_control_has_exactly_the_joints_and_interfaces_of_the_contract(robot):
    joints = robot.findall("ros2_control/joint")
    assert tuple(j.get("name") for j in joints) == JOINTS
    for joint, home in zip(joints, HOME, strict=True):
        assert [c.get("name") for c in joint.findall("command_interface")] == ["position"]
        assert [s.get("name") for s in joint.findall("state_interface")] == ["position", "velocity"]
        assert float(joint.find("state_interface/param").text) == pytest.approx(home, abs=1e-9)
    assert robot.find("ros2_control/hardware/plugin").text == "mock_components/GenericSystem"


def test_another_parser_reads_it():
    model = mujoco.MjModel.from_xml_path(str(URDF))
    assert {model.joint(i).name for i in range(model.njnt)} >= set(JOINTS)
