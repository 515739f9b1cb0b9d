# SPDX-License-Identifier: Apache-2.0
"""What recording over ROS and recording in lock-step have in common."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.robot import CAMERAS, Variation
from dit_policy_ros.sim.tasks import Task

LINGER = 0.7  # [s] recorded after success, which shows the policy how to stay at the goal
MAX_FAILURES = 10  # attempts in a row
ROBOT_TYPE = "dit_bimanual"  # as in config/bimanual.yaml, so that LeRobot merges all kinds of recordings


@dataclass(frozen=True, slots=True)
class DemonstrationSettings:
    """How demonstrations are recorded.

    Attributes:
        output: folder of the dataset, created or extended.
        logs: folder for the nodes' output.
        cameras: the cameras to record.
        seed: of the first scene.
        speed: highest speed of the simulation, in multiples of real time; over ROS only.
        disturbance: standard deviation of the error added to the arms' targets [rad].
        knocks: how often a knock displaces the arms by centimetres [1/s].
        aim_error: standard deviation of where a hand first comes to above an object, before it corrects [m].
        start_anywhere: often begin with the arm away from home; in lock-step only.
        picture_every: render every so many frames and repeat the image in between; in lock-step only.
        variation: how much the look of scenes varies.
        domain: the ROS domain to join; None for one that nobody uses. Over ROS only.
        vectors: names of further vectors to record, of SIM_VECTORS.
    """

    output: Path
    logs: Path = Path("out/dataset")
    cameras: tuple[str, ...] = tuple(CAMERAS)
    seed: int = 0
    speed: float = 2.0
    disturbance: float = 0.006
    knocks: float = 0.0
    aim_error: float = 0.0
    start_anywhere: bool = False
    picture_every: int = 1
    variation: Variation = field(default_factory=Variation)
    domain: int | None = None
    vectors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A demonstration that was kept.

    Attributes:
        task: what it shows.
        frames: its length.
        fps: its frame rate [Hz].
        warnings: from the recorder's check.
        discarded: failed attempts before it.
        rejected: of those, the ones that are in the dataset, but failed the recorder's check; why.
    """

    task: Task
    frames: int
    fps: float
    warnings: tuple[str, ...]
    discarded: int
    rejected: tuple[str, ...] = ()


def repeat_until_kept(
    order: Sequence[Task], seed: int, attempt: Callable[[Task, int, int], Demonstration | str]
) -> Iterator[Demonstration]:
    """Yield one demonstration per entry of ``order``; each attempt uses the scene of the next seed.

    Args:
        order: the tasks.
        seed: of the first scene.
        attempt: called with a task, a seed and the number of attempts discarded before. Returns a text if the
            attempt failed: why the recorder's check did, or an empty one if the task was not done.

    Raises:
        SimulationError: too many attempts in a row failed.
    """
    for task in order:
        discarded, rejected = 0, list[str]()
        while isinstance(kept := attempt(task, seed, discarded), str):
            discarded, seed = discarded + 1, seed + 1
            rejected += [kept] if kept else []
            if discarded == MAX_FAILURES:
                why = f" The recorder's check failed in {len(rejected)}: {rejected[-1]}." if rejected else ""
                raise SimulationError(
                    f"{discarded} demonstrations in a row failed: {task.instruction}.{why} Is this computer "
                    "too busy? See the logs"
                )
        seed += 1
        yield replace(kept, rejected=tuple(rejected))
