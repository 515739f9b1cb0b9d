# SPDX-License-Identifier: Apache-2.0
"""The simulated robot: determinism, servos, gravity, controllers in the loop."""

import numpy as np
import pytest

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.controllers import Point, Trajectory
from dit_policy_ros.sim.robot import CONTROLLERS, HOME, JOINTS, STEP_NS, BimanualSim

LEFT_ARM = slice(0, 6)
STRETCHED = np.concatenate([[0.0, -0.5, 0.8, 0.0, 1.2, 0.0, 0.0], HOME[7:]])  # the left arm, far out


@pytest.fixture
def sim():
    return BimanualSim(seed=3)


def test_names_and_order_are_those_of_the_contract():
    assert JOINTS[0] == "left_joint_1"
    assert JOINTS[6] == "left_gripper"
    assert JOINTS[13] == "right_gripper"
    assert sorted(sum(CONTROLLERS.values(), ())) == sorted(JOINTS)
    assert CONTROLLERS["right_gripper_controller"] == ("right_gripper",)


def test_the_same_seed_gives_the_same_motion():
    first, second = BimanualSim(seed=5), BimanualSim(seed=5)
    for sim in (first, second):
        sim.step_towards(HOME + 0.1, 200)
    np.testing.assert_array_equal(first.qpos, second.qpos)
    assert not np.array_equal(first.cube_poses(), BimanualSim(seed=6).cube_poses())


def test_reset_with_a_seed_restarts_the_sequence_of_scenes(sim):
    sim.reset(seed=9)
    scenes = [sim.cube_poses()]
    sim.reset()
    scenes.append(sim.cube_poses())
    assert not np.allclose(scenes[0], scenes[1])
    sim.reset(seed=9)
    np.testing.assert_array_equal(sim.cube_poses(), scenes[0])


def test_time_advances_by_two_milliseconds_a_step_and_survives_reset(sim):
    sim.epoch_ns = 1_000
    sim.step(5)
    assert sim.time_ns == 1_000 + 5 * STEP_NS
    sim.reset()
    assert sim.time_ns == 1_000 + 5 * STEP_NS


def test_a_held_pose_sags_a_little_under_gravity(sim):
    sim.place(STRETCHED)
    before = sim.tcp("left")
    sim.step(1000)
    sag = before[2] - sim.tcp("left")[2]
    assert 0.0005 < sag < 0.01  # [m]
    assert np.abs(sim.joint_velocities).max() < 0.01


def test_commanding_the_measured_pose_again_and_again_lets_the_arm_sink(sim):
    sim.place(STRETCHED)
    before = sim.tcp("left")[2]
    for _ in range(100):
        sim.step_towards(sim.joint_positions, 10)
    assert before - sim.tcp("left")[2] > 0.03  # [m] in 2 s


def test_servos_follow_a_slow_motion_closely(sim):
    target = HOME + np.array([0.3, 0.2, -0.2, 0.2, -0.2, 0.3, -0.02] * 2)
    sim.step_towards(target, 500)
    sim.step_towards(target, 250)
    np.testing.assert_allclose(sim.joint_positions, target, atol=0.01)


def test_fingers_open_together(sim):
    sim.step_towards(np.where(np.arange(14) % 7 == 6, 0.04, HOME), 500)
    for side in ("left", "right"):
        one = sim.data.joint(f"{side}_gripper").qpos[0]
        other = sim.data.joint(f"{side}_gripper_mimic").qpos[0]
        assert one == pytest.approx(0.04, abs=0.002)
        assert other == pytest.approx(one, abs=0.001)


def test_a_gripper_can_hold_a_cube_up(sim):
    sim.reset(cubes=np.array([[0.0, 0.10, 0.0], [0.1, -0.1, 0.0], [-0.1, -0.1, 0.0]]))
    from dit_policy_ros.sim.robot import ArmKinematics

    arm = ArmKinematics("left")
    pose = HOME.copy()

    def move(height: float, opening: float, steps: int) -> None:
        pose[LEFT_ARM] = arm.solve(pose[LEFT_ARM], np.array([0.0, 0.10, height]), iterations=30)
        pose[6] = opening
        sim.step_towards(pose, steps)

    move(0.12, 0.04, 500)
    move(0.018, 0.04, 500)
    move(0.018, 0.0, 200)
    move(0.15, 0.0, 600)
    sim.step_towards(pose, 500)
    assert sim.cube_position("red")[2] > 0.11
    assert sim.cube_position("green")[2] == pytest.approx(0.02, abs=0.002)


def test_controllers_drive_the_joints(sim):
    joints = CONTROLLERS["left_arm_controller"]
    goal = HOME[LEFT_ARM] + 0.2
    message = Trajectory(0, joints[::-1], (Point(1_000_000_000, tuple(goal[::-1])),))
    assert sim.controllers["left_arm_controller"].accept(message, sim.time_ns) is None
    sim.step(1000)
    np.testing.assert_allclose(sim.command[LEFT_ARM], goal, atol=1e-12)
    np.testing.assert_allclose(sim.joint_positions[LEFT_ARM], goal, atol=0.01)
    np.testing.assert_allclose(sim.command[7:], HOME[7:], atol=1e-12)


def test_a_nan_command_is_counted_and_the_servo_keeps_its_target(sim):
    joints = CONTROLLERS["right_arm_controller"]
    message = Trajectory(0, joints, (Point(0, (float("nan"), *HOME[8:13])),))
    assert sim.controllers["right_arm_controller"].accept(message, sim.time_ns) is None
    sim.step(100)
    assert sim.nan_commands == 100
    assert np.isfinite(sim.joint_positions).all()
    np.testing.assert_allclose(sim.joint_positions[7:13], HOME[7:13], atol=0.01)


def test_limits_of_the_model_are_those_of_the_contract(sim):
    per_arm = [(-2.0, 2.0), (-2.2, 1.4), (-0.2, 2.7), (-2.0, 2.0), (-2.0, 2.0), (-3.0, 3.0), (0.0, 0.04)]
    np.testing.assert_allclose(np.stack([sim.lower, sim.upper], axis=1), per_arm * 2)
    assert (np.clip(HOME, sim.lower, sim.upper) == HOME).all()


def test_an_unknown_cube_is_refused_with_the_known_ones(sim):
    with pytest.raises(SimulationError, match=r"purple.*red.*green.*blue"):
        sim.cube_position("purple")


def test_servos_that_obey_late_do_the_same_later():
    late, prompt = BimanualSim(seed=3), BimanualSim(seed=3)
    late.command_delay.steps = 40

    def poses(sim):
        for k in range(60):
            sim.step_towards(HOME + 0.02 * np.sin(0.1 * k), 10)
            yield sim.joint_positions

    ahead, behind = list(poses(prompt)), list(poses(late))
    np.testing.assert_allclose(behind[14:], ahead[10:-4], atol=2e-3)
    assert np.abs(np.subtract(behind[14:], ahead[14:])).max() > 0.005
    late.place(HOME)
    late.step(41)
    np.testing.assert_allclose(late.joint_positions, HOME, atol=0.02)  # nothing is left under way
