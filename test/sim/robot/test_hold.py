# SPDX-License-Identifier: Apache-2.0
"""What a hold, and the death of the policy, do to the simulated robot under gravity."""

import numpy as np
import pytest
from simulated_motion import CONTRACT, SimulatedMotion, assert_commands_within_limits

from dit_policy_ros.sim.robot import HOME, ArmKinematics, BimanualSim

LEFT_ARM, LEFT_GRIPPER = slice(0, 6), 6
ARMS = ~CONTRACT.gripper_mask
# The left arm stretched out, where gravity loads its joints most; it does not touch the other arm.
STRETCHED = np.array([0.0, -0.35, 0.1, 0.0, 0.1, 0.0, 0.02])


def swinging(t: float) -> np.ndarray:
    """The left arm stretched out and swinging, the right one at home but for its wrist, (14,)."""
    pose = HOME.copy()
    pose[:7] = STRETCHED
    pose[0] = 0.9 + 0.5 * np.sin(2 * np.pi * 0.4 * t)
    pose[1] += 0.3 * np.sin(2 * np.pi * 0.3 * t)
    pose[12] = 0.5 * np.sin(2 * np.pi * 0.4 * t)
    return pose


@pytest.fixture
def swing():
    sim = BimanualSim(seed=0)
    sim.place(swinging(0.0))
    sim.step_towards(swinging(0.0), 500)
    return SimulatedMotion(sim, swinging)


@pytest.mark.slow
def test_a_hold_without_joint_states_brakes_within_the_limits_and_does_not_creep_for_a_minute(swing):
    swing.run(2.5)
    assert np.abs(swing.sim.joint_velocities[[0, 12]]).min() > 0.3, "both arms must be moving"
    swing.hold(measured=None)
    swing.stand_by(1.0)
    settled = swing.sim.joint_positions
    assert np.abs(swing.sim.joint_velocities).max() < 2e-3
    swing.stand_by(59.0)
    assert np.abs(swing.sim.joint_positions - settled)[ARMS].max() < 1e-3
    assert np.abs(swing.sim.command - swing.pipeline.plan.positions[-1]).max() < 1e-9
    assert_commands_within_limits(swing.commands)


def test_sending_the_measured_pose_over_and_over_sinks(swing):
    """What a hold must not do. It shows that the test above can fail."""
    swing.run(0.5)
    swing.hold(measured=None)
    swing.stand_by(1.0)
    settled = swing.sim.joint_positions
    for _ in range(250):
        swing.pipeline.start(swing.sim.joint_positions, swing.sim.time_ns)
        swing.hold(measured=None)
        swing.stand_by(0.02)
    assert np.abs(swing.sim.joint_positions - settled)[ARMS].max() > 0.05


def test_an_arm_that_was_pushed_away_is_held_where_it_is(swing):
    swing.run(0.5)
    measured = swing.sim.joint_positions
    measured[1] += 0.6
    swing.hold(measured)
    np.testing.assert_allclose(swing.pipeline.plan.positions[-1][1], measured[1])
    untouched = np.arange(14) != 1
    commanded = swing.sim.command  # other joints brake from the commanded pose, not from the sagging one
    stopping = CONTRACT.limits.velocity**2 / (2 * CONTRACT.limits.acceleration)
    begins, _ = swing.pipeline.plan.sample_at(swing.sim.time_ns)  # (14,) after the history
    assert (np.abs(begins - commanded)[untouched] < 5e-3).all()
    assert (np.abs(swing.pipeline.plan.positions[-1] - commanded)[untouched] <= stopping[untouched]).all()


class Grasp:
    """The left arm picks the red cube up and swings it about."""

    def __init__(self) -> None:
        self.sim = BimanualSim(seed=0)
        self.sim.reset(cubes=np.array([[0.0, 0.10, 0.0], [0.1, -0.08, 0.0], [-0.1, -0.08, 0.0]]))
        arm = ArmKinematics("left")
        start = arm.solve(HOME[LEFT_ARM], np.array([0.0, 0.10, 0.12]), iterations=40)
        low = arm.solve(start, np.array([0.0, 0.10, 0.018]), iterations=40)
        high = arm.solve(low, np.array([0.0, 0.10, 0.16]), iterations=40)
        self._path = [
            (0.0, start, 0.04),
            (2.0, low, 0.04),
            (2.6, low, 0.04),
            (3.2, low, 0.0),
            (4.0, low, 0.0),
        ]
        self._path += [(6.0, high, 0.0)]
        pose = HOME.copy()
        pose[LEFT_ARM], pose[LEFT_GRIPPER] = start, 0.04
        self.sim.place(pose)
        self.sim.step_towards(pose, 500)
        self.motion = SimulatedMotion(self.sim, self._wanted)
        self.motion.run(6.2)
        assert self.height > 0.10, "the cube must be in the air"

    def _wanted(self, t: float) -> np.ndarray:
        times = [time for time, _, _ in self._path]
        pose = HOME.copy()
        for joint in range(6):
            pose[joint] = np.interp(t, times, [arm[joint] for _, arm, _ in self._path])
        pose[LEFT_GRIPPER] = np.interp(t, times, [opening for _, _, opening in self._path])
        pose[0] += 0.3 * np.sin(2 * np.pi * 0.4 * (t - 6.0)) if t > 6.0 else 0.0
        return pose

    @property
    def height(self) -> float:
        return float(self.sim.cube_position("red")[2])

    @property
    def in_hand(self) -> np.ndarray:
        """Where the cube is from between the finger tips (3,) [m]."""
        return self.sim.cube_position("red") - self.sim.tcp("left")


@pytest.mark.parametrize(
    "what",
    [
        "hold without joint states",
        pytest.param("hold", marks=pytest.mark.slow),
        pytest.param("the policy dies", marks=pytest.mark.slow),
    ],
)
def test_a_grasped_cube_stays_grasped_for_a_minute(what):
    grasp = Grasp()
    motion = grasp.motion
    assert np.abs(grasp.sim.joint_velocities[0]) > 0.1, "the cube must be moving"
    before = grasp.in_hand
    if what != "the policy dies":
        motion.hold(grasp.sim.joint_positions if what == "hold" else None)
    motion.stand_by(1.0)
    assert np.abs(grasp.sim.joint_velocities).max() < 5e-3, "the arms stand after a second"
    motion.stand_by(59.0)
    assert grasp.height > 0.10
    # MuJoCo's friction creeps by 0.15 mm/s under load anyway; a released cube falls at once.
    assert np.linalg.norm(grasp.in_hand - before) < 0.015
    assert motion.sim.command[LEFT_GRIPPER] < 1e-6, "the gripper keeps its last command"
    assert_commands_within_limits(motion.commands)


def test_soft_start_begins_at_the_measured_pose_and_gently():
    far = HOME.copy()
    far[[1, 8]] += 0.8
    sim = BimanualSim(seed=0)
    sim.step_towards(HOME, 500)
    motion = SimulatedMotion(sim, lambda t: far)
    begin = motion.pipeline.plan.positions[0]
    np.testing.assert_allclose(begin, np.clip(sim.joint_positions, sim.lower, sim.upper))
    motion.run(0.3)
    assert np.abs(motion.commands[1:] - begin)[:40].max() < 1e-3, "it does not leap off"
    motion.run(2.5)
    np.testing.assert_allclose(sim.command, far, atol=2e-3)
    assert_commands_within_limits(motion.commands)
