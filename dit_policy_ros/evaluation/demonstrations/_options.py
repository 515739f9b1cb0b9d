# SPDX-License-Identifier: Apache-2.0
"""What is common to demonstrations, whether they are recorded through ROS or in lock-step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.tasks import Task

LINGER = 0.7  # [s] that is recorded after success: how to stay at the goal
_MOST_FAILURES = 10  # in a row


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One that was kept: its task, frames, and what the recorder has to say about it."""

    task: Task
    frames: int
    fps: float
    warnings: tuple[str, ...]
    discarded: int  # attempts before it


def until_kept(
    order: Sequence[Task], seed: int, attempt: Callable[[Task, int, int], Demonstration | None]
) -> Iterator[Demonstration]:
    """One demonstration per entry of ``order``, each attempt in the scene of the next seed.

    Args:
        order: the tasks.
        seed: of the first scene.
        attempt: given a task, a seed and the attempts discarded before; None where it failed.

    Raises:
        SimulationError: too many attempts in a row failed.
    """
    for task in order:
        discarded = 0
        while (kept := attempt(task, seed, discarded)) is None:
            discarded, seed = discarded + 1, seed + 1
            if discarded == _MOST_FAILURES:
                raise SimulationError(
                    f"{discarded} demonstrations in a row failed: {task.instruction}; is this computer too "
                    "busy? The logs may tell"
                )
        seed += 1
        yield kept
