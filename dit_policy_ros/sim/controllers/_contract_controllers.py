# SPDX-License-Identifier: Apache-2.0
"""The models of the controllers that a contract names."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dit_policy_ros.core.contract import Contract, ControllerType, JointMapping
from dit_policy_ros.sim.controllers._controller_settings import ControllerSettings
from dit_policy_ros.sim.controllers._gripper_controller import ParallelGripperController
from dit_policy_ros.sim.controllers._trajectory_controller import TrajectoryController


class Controller(Protocol):
    """What every controller of a simulated robot has; A_c joints."""

    name: str
    joints: tuple[str, ...]
    accepted: int
    rejected: int

    @property
    def broken_joints(self) -> tuple[str, ...]:
        """Joints whose command has become NaN."""
        ...

    def reset(self, positions: np.ndarray) -> None:
        """Forget every command and hold positions (A_c,)."""
        ...

    def update(self, now_ns: int, positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """The command (A_c,) for the coming period, from what is measured (A_c,) at a time [ns]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Controlled:
    """A controller and the joints that it moves.

    joints: their names in the robot, (A_c,). mapping: from the controller's own names and units to these.
    """

    controller: Controller
    joints: tuple[str, ...]
    mapping: JointMapping


def with_own_joints(controller: Controller) -> Controlled:
    """A controller that calls and counts its joints as the robot does."""
    joints = controller.joints
    return Controlled(controller, joints, JointMapping(joints, np.ones(len(joints)), np.zeros(len(joints))))


def contract_controllers(
    contract: Contract, step_ns: int, settings: ControllerSettings, gripper_velocity: float | None = None
) -> dict[str, Controlled]:
    """Models of a contract's controllers of joints, by name, with the robot's names and units for the joints.

    Args:
        step_ns: period of their updates [ns].
        settings: parameters of the trajectory controllers.
        gripper_velocity: how fast a ParallelGripperController moves [m/s]; None: the limit of its joint.
    """
    made: dict[str, Controlled] = {}
    for each in contract.controllers:
        if each.pose is not None:
            continue  # sim/poses has them: they need the model
        names = each.mapping.sources
        if each.type is ControllerType.PARALLEL_GRIPPER:
            limit = contract.limits.velocity[contract.indices(each)]  # (1,)
            speed = limit if gripper_velocity is None else np.array([gripper_velocity])
            own = float(np.abs(each.mapping.inverse_rates(speed))[0])
            controller = ParallelGripperController(each.name, names, period_ns=step_ns, max_velocity=own)
        else:
            controller = TrajectoryController(each.name, names, period_ns=step_ns, settings=settings)
        made[each.name] = Controlled(controller, each.joints, each.mapping)
    return made
