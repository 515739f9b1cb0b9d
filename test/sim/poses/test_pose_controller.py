# SPDX-License-Identifier: Apache-2.0
"""The simulated arm follows target poses by inverse kinematics, as cartesian_motion_controller does."""

import mujoco
import numpy as np
import pytest
from pose_robot import DOWN, SIDES, pose_contract, pose_mapping

from dit_policy_ros.core.contract import Contract, parse_contract
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.core.poses import (
    matrix_from_quaternion,
    quaternion_from_matrix,
    rotation_angle,
    rotation_from_vector,
)
from dit_policy_ros.sim.controllers import ControllerSettings, contract_controllers
from dit_policy_ros.sim.poses import PoseController, joint_contract, pose_controllers
from dit_policy_ros.sim.robot import STEP_NS, BimanualSim, built_in_model


@pytest.fixture
def sim() -> BimanualSim:
    contract = pose_contract()
    named = contract_controllers(contract, STEP_NS, ControllerSettings())
    return BimanualSim(controllers=named | dict(pose_controllers(contract, built_in_model(), STEP_NS)))


def left(sim: BimanualSim) -> PoseController:
    controller = sim.controllers["left_pose_controller"]
    assert isinstance(controller, PoseController)
    return controller


def pose(sim: BimanualSim) -> tuple[np.ndarray, np.ndarray]:
    return left(sim).pose(sim.measured("left_pose_controller")[0])


def test_at_home_the_gripper_points_down(sim: BimanualSim) -> None:
    position, matrix = pose(sim)
    np.testing.assert_allclose(position, sim.tcp("left"), atol=1e-6)
    assert rotation_angle(matrix, matrix_from_quaternion(np.array(DOWN["left"]))) < 0.05
    assert left(sim).joints == tuple(f"left_joint_{number}" for number in range(1, 7))


def test_the_arm_goes_to_its_target_and_the_other_one_stays(sim: BimanualSim) -> None:
    position, matrix = pose(sim)
    other = sim.tcp("right")
    goal = position + np.array([0.05, -0.06, 0.04])
    turned = rotation_from_vector(np.array([0.1, 0.2, -0.3])) @ matrix
    assert left(sim).accept("world", goal, quaternion_from_matrix(turned)) is None
    sim.step(1000)
    reached, orientation = pose(sim)
    np.testing.assert_allclose(reached, goal, atol=8e-3)
    assert rotation_angle(orientation, turned) < 0.05
    np.testing.assert_allclose(sim.tcp("right"), other, atol=2e-3)


@pytest.mark.parametrize(
    ("frame", "position", "quaternion", "reason"),
    [
        ("base_link", [0.0, 0.0, 0.3], [0.0, 0.0, 0.0, 1.0], "in frame 'base_link' instead of 'world'"),
        ("world", [np.nan, 0.0, 0.3], [0.0, 0.0, 0.0, 1.0], "NaN"),
        ("world", [0.0, 0.0, 0.3], [0.0, 0.0, 0.0, 0.0], "no unit quaternion"),
    ],
)  # fmt: skip
def test_what_the_real_controller_drops_is_dropped(
    sim: BimanualSim, frame: str, position: list[float], quaternion: list[float], reason: str
) -> None:
    found = left(sim).accept(frame, np.array(position), np.array(quaternion))
    assert found is not None
    assert reason in found
    before = left(sim).command
    sim.step(50)
    np.testing.assert_array_equal(left(sim).command, before)
    assert (left(sim).accepted, left(sim).rejected) == (0, 1)


def test_an_inactive_controller_drops_targets_and_starts_where_the_arm_is(sim: BimanualSim) -> None:
    position, matrix = pose(sim)
    left(sim).deactivate()
    assert left(sim).accept("world", position + 0.1, quaternion_from_matrix(matrix)) is None
    before = left(sim).command
    sim.step(50)
    np.testing.assert_array_equal(left(sim).command, before)
    left(sim).activate(sim.measured("left_pose_controller")[0])
    sim.step(50)
    np.testing.assert_allclose(pose(sim)[0], position, atol=2e-3)


def test_a_target_out_of_reach_leaves_the_arm_whole(sim: BimanualSim) -> None:
    """Least squares are damped: near the singularity of the stretched arm the joints stay calm."""
    matrix = pose(sim)[1]
    left(sim).accept("world", np.array([2.0, 2.0, 2.0]), quaternion_from_matrix(matrix))
    sim.step(1500)
    before = left(sim).command
    sim.step(100)
    assert np.abs(left(sim).command - before).max() < 0.05
    assert (sim.joint_positions >= sim.lower - 0.05).all()
    assert (sim.joint_positions <= sim.upper + 0.05).all()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("end_effector", "left_tpc", "Did you mean 'left_tcp'"),
        ("end_effector", "red_cube", "hangs on none, or on a free or ball joint"),
        ("frame", "table0", "controllers.left_pose_controller.frame"),
    ],
)  # fmt: skip
def test_names_that_the_scene_lacks_are_told(key: str, value: str, expected: str) -> None:
    mapping = pose_mapping()
    mapping["controllers"]["left_pose_controller"][key] = value
    with pytest.raises(SimulationError) as caught:
        pose_controllers(parse_contract(mapping, ""), built_in_model(), STEP_NS)
    assert expected in str(caught.value)


CARRIED = """
<mujoco><worldbody>
  <body name="torso"><joint name="lift" type="slide" axis="0 0 1" range="0 1"/><geom size="0.1"/>
    <site name="chest"/>
    <body name="left"><joint name="left_elbow"/><geom size="0.1"/><site name="left_tcp"/></body>
    <body name="right"><joint name="right_elbow"/><geom size="0.1"/><site name="right_tcp"/></body>
  </body>
</worldbody></mujoco>
"""


def carried_contract(**changes: str) -> Contract:
    mapping = pose_mapping()
    for side in SIDES:
        mapping["controllers"][f"{side}_pose_controller"] |= {"end_effector": f"{side}_tcp"} | changes
    return parse_contract(mapping, "carried")


def test_arms_that_share_a_joint_are_refused() -> None:
    """Both would move it, each its own way."""
    model = mujoco.MjModel.from_xml_string(CARRIED)
    with pytest.raises(SimulationError, match="lift is moved by several"):
        joint_contract(carried_contract(frame="world"), model)


def test_a_frame_that_moves_is_refused() -> None:
    """The controller's model takes it as it is at rest."""
    model = mujoco.MjModel.from_xml_string(CARRIED)
    with pytest.raises(SimulationError, match=r"frame: expected 'world'.*'chest' is moved by lift"):
        joint_contract(carried_contract(frame="chest"), model)


def test_poses_are_in_the_frame_of_the_contract_wherever_it_stands() -> None:
    arms = "".join(
        f'<body name="{side}" pos="0.3 {y} 0"><joint name="{side}_elbow"/><geom size="0.1"/>'
        f'<site name="{side}_tcp" pos="0.1 0 0"/></body>'
        for side, y in (("left", 0.2), ("right", -0.2))
    )
    base = f'<body name="base" pos="1 2 3" quat="0.6 0 0 0.8">{arms}</body>'
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{base}</worldbody></mujoco>")
    controller = pose_controllers(carried_contract(frame="base"), model, STEP_NS)["left_pose_controller"]
    assert isinstance(controller.controller, PoseController)
    position, matrix = controller.controller.pose(np.zeros(1))
    np.testing.assert_allclose(position, [0.4, 0.2, 0.0], atol=1e-9)
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-9)
