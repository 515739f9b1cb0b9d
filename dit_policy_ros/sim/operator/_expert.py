# SPDX-License-Identifier: Apache-2.0
"""A scripted operator that carries out one instruction at a time, as a person with leader arms would."""

import numpy as np

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.operator._reach import ReachPath, plan_reach
from dit_policy_ros.sim.robot import (
    ARM_JOINTS,
    CUBE_EDGE,
    FPS,
    HOME,
    JOINTS,
    SIDES,
    ArmKinematics,
    BimanualSim,
    Tracker,
)
from dit_policy_ros.sim.tasks import Touch

_PRESS = 0.004  # [m] that the target lies inside the cube: the contact is felt, not pushed through
_SETTLE = 30  # iterations of inverse kinematics from a pose that was not planned
_MOVED = 0.012  # [m] a cube may shift before the operator aims anew
_CLEAR = 0.13  # [m] from home at which the other arm no longer is in the way
_GRIPPER_SPEED = 0.06  # [m/s]
_GRIPPER_CLOSED = 0.0  # [m], while touching


class Expert:
    """Drives the named arm onto the named cube from above and sends the other arm home.

    Every instruction starts wherever the last one ended, so an operator may be told something new at any
    moment. Motions vary with rng: speed, path, hesitation.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._arms = {side: _ArmOperator(side, rng) for side in SIDES}
        self._task: Touch | None = None

    @property
    def task(self) -> Touch | None:
        """The instruction in hand."""
        return self._task

    def reset(self, sim: BimanualSim) -> None:
        """Takes over the robot at rest in its commanded pose, without a task."""
        self._task = None
        for arm in self._arms.values():
            arm.reset(sim.command)

    def begin(self, task: Touch) -> None:
        """Takes up a task, at once, from wherever the arms are and however they move."""
        self._task = task
        for side, arm in self._arms.items():
            arm.begin(task.colour if side == task.side else None)

    @property
    def target(self) -> np.ndarray:
        """The joint target (14,) [rad], [m] that was last asked for."""
        return np.concatenate([arm.target for arm in self._arms.values()])

    def act(self, sim: BimanualSim) -> np.ndarray:
        """Returns the joint target (14,) [rad], [m] for one period of 1/30 s after this instant.

        Raises SimulationError before begin().
        """
        if self._task is None:
            raise SimulationError("the scripted operator has no task; call reset(sim) and begin(task) first")
        action = np.empty(len(JOINTS))
        named, other = self._task.side, SIDES[1 - SIDES.index(self._task.side)]
        way_is_free = self._arms[other].distance_from_home < _CLEAR
        for side, go in ((named, way_is_free), (other, True)):
            first = SIDES.index(side) * (ARM_JOINTS + 1)
            action[first : first + ARM_JOINTS + 1] = self._arms[side].act(sim, go)
        return action

    @property
    def at_rest(self) -> bool:
        """Whether both arms have finished what they set out to do."""
        return all(arm.at_rest for arm in self._arms.values())


class _ArmOperator:
    """One hand of the operator: follows a path of the tool point by inverse kinematics."""

    def __init__(self, side: str, rng: np.random.Generator) -> None:
        self.side = side
        self._rng = rng
        self._kinematics = ArmKinematics(side)
        self._slice = slice(JOINTS.index(f"{side}_joint_1"), JOINTS.index(f"{side}_gripper"))
        self._home_tcp = self._kinematics.forward(HOME[self._slice])  # (3,) [m]
        self._tracker = Tracker()
        self._planned = HOME[self._slice].copy()  # (6,) [rad], where the path wants the joints
        self._gripper = float(HOME[self._slice.stop])  # [m]
        self._colour: str | None = None
        self._goal = self._home_tcp
        self._path: ReachPath | None = None
        self._elapsed = 0.0  # [s] along the path

    @property
    def distance_from_home(self) -> float:
        """How far the commanded tool point is from its rest [m]."""
        return float(np.linalg.norm(self._kinematics.forward(self._tracker.position) - self._home_tcp))

    @property
    def at_rest(self) -> bool:
        return self._path is not None and self._elapsed >= self._path.duration

    @property
    def target(self) -> np.ndarray:
        """What was last asked for (7,): arm joints [rad] and gripper [m]."""
        return np.append(self._tracker.position, self._gripper)

    def reset(self, command: np.ndarray) -> None:
        """Starts from rest at the robot's command (14,)."""
        joints = command[self._slice]  # (6,)
        self._gripper = float(command[self._slice.stop])
        here = self._kinematics.forward(joints)
        self._planned = self._kinematics.solve(joints, here, iterations=_SETTLE)  # gripper turned down
        self._tracker.begin(joints, self._planned)
        self.begin(None)

    def begin(self, colour: str | None) -> None:
        """Aims at a cube, or at home for None; the path is planned when the arm first may go."""
        self._colour = colour
        self._path = None

    def act(self, sim: BimanualSim, go: bool) -> np.ndarray:
        """Returns the next target (7,) of this arm's joints and gripper."""
        if go or self._path is not None:
            self._planned = self._plan(sim)
        self._tracker.follow(self._planned)
        wanted = _GRIPPER_CLOSED if self._colour is not None and go else float(HOME[self._slice.stop])
        reach = _GRIPPER_SPEED / FPS
        self._gripper += float(np.clip(wanted - self._gripper, -reach, reach))
        return self.target

    def _plan(self, sim: BimanualSim) -> np.ndarray:
        """Returns where the path wants the joints (6,) one period ahead; aims anew if the cube moved."""
        goal = self._aim(sim)
        if self._path is None or float(np.linalg.norm(goal - self._goal)) > _MOVED:
            origin = self._kinematics.forward(self._planned)
            self._goal = goal
            self._path = plan_reach(origin, goal, self._rng, home=self._colour is None)
            self._elapsed = 0.0
        self._elapsed += 1.0 / FPS
        if self._colour is None and self.at_rest:
            return HOME[self._slice]  # the last fractions of a millimetre: exactly the rest pose
        return self._kinematics.solve(self._planned, self._path.position(self._elapsed))

    def _aim(self, sim: BimanualSim) -> np.ndarray:
        if self._colour is None:
            return self._home_tcp
        cube = sim.cube_position(self._colour)
        return cube + np.array([0.0, 0.0, CUBE_EDGE / 2 - _PRESS])
