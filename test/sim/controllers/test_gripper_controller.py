# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from dit_policy_ros.sim.controllers import ControllerSettings, GoalEnd, ParallelGripperController
from dit_policy_ros.sim.robot import STEP_NS, BimanualSim


def controller(position: float = 0.04) -> ParallelGripperController:
    gripper = ParallelGripperController("hand", ("finger",), period_ns=STEP_NS)
    gripper.reset(np.array([position]))
    return gripper


def run(gripper, seconds: float, position=None, velocity: float = 0.0) -> list[float]:
    """The commands over some time [s]; the joint follows at once unless it is held at a position."""
    commands = []
    for k in range(round(seconds * 1e9 / STEP_NS)):
        at = gripper.command if position is None else np.array([position])
        commands.append(float(gripper.update(k * STEP_NS, at, np.array([velocity]))[0]))
    return commands


def test_the_gripper_moves_to_a_goal_at_its_own_speed_and_stays():
    gripper = controller(0.04)
    assert gripper.accept((0.0,)) is None
    commands = run(gripper, 1.0)
    assert np.diff(commands).min() == pytest.approx(-0.1 * STEP_NS * 1e-9)
    assert commands[-1] == 0.0
    assert gripper.end is not None and gripper.end.reached and not gripper.end.stalled


def test_a_goal_that_the_object_stops_ends_as_stalled_and_goes_on_pushing():
    gripper = controller(0.02)
    gripper.accept((0.0,))
    commands = run(gripper, 1.5, position=0.02)
    assert gripper.end == GoalEnd(0.02, reached=False, stalled=True)
    assert commands[-1] == 0.0


@pytest.mark.parametrize("positions", [(), (0.0, 0.01)])
def test_a_goal_of_another_size_is_rejected(positions):
    gripper = controller()
    assert "instead of 1" in gripper.accept(positions)
    assert (gripper.accepted, gripper.rejected) == (0, 1)


def test_a_cancelled_goal_commands_the_measured_position():
    gripper = controller(0.02)
    gripper.accept((0.0,))
    run(gripper, 0.5, position=0.02)
    gripper.release()
    assert run(gripper, 0.5, position=0.02)[-1] == pytest.approx(0.02)


def test_nan_is_permanent():
    gripper = controller()
    gripper.accept((float("nan"),))
    run(gripper, 0.01)
    gripper.accept((0.01,))
    run(gripper, 0.5)
    assert gripper.broken_joints == ("finger",)


def test_needs_exactly_one_joint():
    with pytest.raises(ValueError, match="one joint"):
        ParallelGripperController("hands", ("a", "b"), period_ns=STEP_NS)


def test_the_simulated_robot_closes_its_fingers_by_a_goal():
    sim = BimanualSim(controllers=ControllerSettings(parallel_grippers=True))
    sim.controllers["left_gripper_controller"].accept((0.0,))
    before = sim.joint_positions
    sim.step(500)
    moved = sim.joint_positions - before  # (14,)
    assert moved[6] == pytest.approx(-0.02, abs=1e-3)
    assert abs(moved[13]) < 1e-3
