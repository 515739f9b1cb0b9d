# SPDX-License-Identifier: Apache-2.0
"""The scripted expert for touch tasks. It moves as a person with leader arms would."""

import numpy as np

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.operator._reach import ReachPath, plan_reach
from dit_policy_ros.sim.robot import (
    CUBE_EDGE,
    FPS,
    HOME,
    JOINTS,
    SIDES,
    ArmKinematics,
    BimanualSim,
    Tracker,
    arm_slice,
)
from dit_policy_ros.sim.tasks import Touch

_PRESS = 0.004  # [m] depth of the target inside the cube: enough for contact, not enough to push it
_SETTLE = 30  # iterations of inverse kinematics from an unplanned pose
_MOVED = 0.012  # [m] a cube may move by this before the path is planned again
_CLEAR = 0.13  # [m] the other arm must be this near to its home before an arm may start
_GRIPPER_SPEED = 0.06  # [m/s]
_GRIPPER_CLOSED = 0.0  # [m], while touching


class Expert:
    """Moves the named arm onto the named cube from above, and the other arm home.

    A task can begin at any time, from any pose and motion. Speed, path and hesitation vary with rng.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._arms = {side: _ArmOperator(side, rng) for side in SIDES}
        self._task: Touch | None = None

    @property
    def task(self) -> Touch | None:
        """The present task."""
        return self._task

    def reset(self, sim: BimanualSim) -> None:
        """Start at rest at the robot's command, without a task."""
        self._task = None
        for arm in self._arms.values():
            arm.reset(sim.command)

    def begin(self, task: Touch) -> None:
        """Begin a task at once, whatever the arms are doing."""
        self._task = task
        for side, arm in self._arms.items():
            arm.begin(task.colour if side == task.side else None)

    @property
    def target(self) -> np.ndarray:
        """The last joint target (14,) [rad], [m]."""
        return np.concatenate([arm.target for arm in self._arms.values()])

    def act(self, sim: BimanualSim) -> np.ndarray:
        """Returns the joint target (14,) [rad], [m] for the next 1/30 s.

        Raises SimulationError before begin().
        """
        if self._task is None:
            raise SimulationError("the scripted operator has no task; call reset(sim) and begin(task) first")
        action = np.empty(len(JOINTS))
        named, other = self._task.side, SIDES[1 - SIDES.index(self._task.side)]
        other_is_clear = self._arms[other].distance_from_home < _CLEAR
        for side, go in ((named, other_is_clear), (other, True)):
            arm = arm_slice(side)
            action[arm.start : arm.stop + 1] = self._arms[side].act(sim, go)
        return action

    @property
    def at_rest(self) -> bool:
        """Whether both arms have finished their paths."""
        return all(arm.at_rest for arm in self._arms.values())


class _ArmOperator:
    """One arm of the expert: its tool point follows a path, by inverse kinematics."""

    def __init__(self, side: str, rng: np.random.Generator) -> None:
        self.side = side
        self._rng = rng
        self._kinematics = ArmKinematics(side)
        self._slice = arm_slice(side)
        self._home_tcp = self._kinematics.forward(HOME[self._slice])  # (3,) [m]
        self._tracker = Tracker()
        self._planned = HOME[self._slice].copy()  # (6,) [rad] joints on the path
        self._gripper = float(HOME[self._slice.stop])  # [m]
        self._colour: str | None = None
        self._goal = self._home_tcp
        self._path: ReachPath | None = None
        self._elapsed = 0.0  # [s] along the path

    @property
    def distance_from_home(self) -> float:
        """Distance of the commanded tool point from its rest position [m]."""
        return float(np.linalg.norm(self._kinematics.forward(self._tracker.position) - self._home_tcp))

    @property
    def at_rest(self) -> bool:
        return self._path is not None and self._elapsed >= self._path.duration

    @property
    def target(self) -> np.ndarray:
        """The last target (7,): arm joints [rad] and gripper [m]."""
        return np.append(self._tracker.position, self._gripper)

    def reset(self, command: np.ndarray) -> None:
        """Start at rest at the robot's command (14,)."""
        joints = command[self._slice]  # (6,)
        self._gripper = float(command[self._slice.stop])
        here = self._kinematics.forward(joints)
        self._planned = self._kinematics.solve(joints, here, iterations=_SETTLE)  # gripper turned down
        self._tracker.begin(joints, self._planned)
        self.begin(None)

    def begin(self, colour: str | None) -> None:
        """Aim at a cube, or at home for None. The path is planned when the arm may start."""
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
        """Returns the joints (6,) on the path one period ahead. It plans again if the cube moved."""
        goal = self._aim(sim)
        if self._path is None or float(np.linalg.norm(goal - self._goal)) > _MOVED:
            origin = self._kinematics.forward(self._planned)
            self._goal = goal
            self._path = plan_reach(origin, goal, self._rng, home=self._colour is None)
            self._elapsed = 0.0
        self._elapsed += 1.0 / FPS
        if self._colour is None and self.at_rest:
            return HOME[self._slice]  # inverse kinematics would end a fraction of a millimetre beside it
        return self._kinematics.solve(self._planned, self._path.position(self._elapsed))

    def _aim(self, sim: BimanualSim) -> np.ndarray:
        if self._colour is None:
            return self._home_tcp
        cube = sim.cube_position(self._colour)
        return cube + np.array([0.0, 0.0, CUBE_EDGE / 2 - _PRESS])
