# SPDX-License-Identifier: Apache-2.0
"""The scripted operator of the task suite. It does one task at a time, from any pose of the arms."""

import numpy as np

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.operator._expert import Expert
from dit_policy_ros.sim.operator._hand import OPEN, Hand, Moves
from dit_policy_ros.sim.operator._skills import hand_over, lift, push
from dit_policy_ros.sim.robot import SIDES, BimanualSim
from dit_policy_ros.sim.tasks import HandOver, Lift, Push, Task, Touch, first_arm


class Operator:
    """Reads the physics state and moves as a person with leader arms would. Motions vary with rng."""

    def __init__(self, rng: np.random.Generator, aim_error: float = 0.0) -> None:
        """Prepare both hands.

        Args:
            rng: all that varies.
            aim_error: standard deviation [m] of where a hand first comes to above an object, along x and y.
                It then corrects. Touching has an error of its own.
        """
        self._rng = rng
        self._expert = Expert(rng)
        self._hands = {side: Hand(side, rng, aim_error) for side in SIDES}
        self._moves: Moves | None = None
        self._is_touch = False
        self._ready = False

    def begin(self, sim: BimanualSim, task: Task) -> None:
        """Begin a task, with the robot at rest at its command."""
        self._is_touch = isinstance(task, Touch)
        if isinstance(task, Touch):
            self._expert.reset(sim)
            self._expert.begin(task)
        else:
            for hand in self._hands.values():
                hand.begin(sim.command)
            self._moves = self._carry_out(sim, task)
        self._ready = True

    @property
    def target(self) -> np.ndarray:
        """The last joint target (14,) [rad], [m]."""
        if self._is_touch:
            return self._expert.target
        return np.concatenate([self._hands[side].target for side in SIDES])

    def act(self, sim: BimanualSim) -> np.ndarray:
        """Returns the joint target (14,) [rad], [m] for the next 1/30 s.

        Raises SimulationError before begin().
        """
        if not self._ready:
            raise SimulationError("the scripted operator has no task; call begin(sim, task) first")
        if self._is_touch:
            return self._expert.act(sim)
        if self._moves is not None:
            next(self._moves, None)  # after the task the hands stay in place
        for hand in self._hands.values():
            hand.advance()
        return self.target

    def _carry_out(self, sim: BimanualSim, task: Task) -> Moves:
        left, right = self._hands["left"], self._hands["right"]
        yield from left.wait(self._rng.uniform(0.0, 0.3))  # hesitation
        if isinstance(task, Lift):
            yield from lift(sim, self._hands[task.side], task.colour)
        elif isinstance(task, HandOver):
            yield from hand_over(sim, right, left, task.colour)
            yield from right.rest()
        elif isinstance(task, Push):
            hand = self._hands[first_arm(task)]
            yield from push(sim, hand, task.colour, task.zone)
            yield from hand.grip(OPEN)
            yield from hand.rest()
