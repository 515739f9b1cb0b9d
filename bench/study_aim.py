#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a policy look where its hand goes, or go straight down from wherever it is?

The hand of a lifting task is put above its cube, beside it by some centimetres, as after a policy's own
error. The policy drives the simulator in lock-step until the fingers are as low as the cube, and the level
distance between hand and cube is measured: with --beside 30 it is 30 mm of a policy that corrects nothing.
Demonstrations in which the hand always comes straight to the object can teach that.

    python bench/study_aim.py out/demonstrations
    python bench/study_aim.py out/demonstrations --beside 0 20 40 --scenes 60
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from command_line import make_parser, parse, write_figures
from numpy.typing import NDArray
from rich.progress import track

from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.evaluation.episodes import NodeActor, image_size, node_settings
from dit_policy_ros.evaluation.session import config_path
from dit_policy_ros.policy import load_policy
from dit_policy_ros.sim.robot import ArmKinematics, BimanualSim, arm_slice
from dit_policy_ros.sim.tasks import Lift, run_trial, suite

FIRST_SEED = 30_000
LATENCY = 0.1  # [s]
ABOVE = 0.07  # [m] of the tool point over the cube's middle, at the beginning
LOW = 0.008  # [m] of the tool point over the cube's middle: the fingers are beside the cube
LIFTED = 0.03  # [m] of the cube's middle
DIRECTIONS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
ITERATIONS = 30


class _Lowest:
    """Acts, and remembers the level distance [m] of hand and cube where the hand first is low, or lowest."""

    def __init__(self, act: Callable[[BimanualSim], NDArray[np.float64]], task: Lift) -> None:
        self._act, self._task = act, task
        self._height, self.distance = np.inf, np.inf

    def __call__(self, sim: BimanualSim) -> NDArray[np.float64]:
        cube = sim.cube_position(self._task.colour)
        beside = sim.tcp(self._task.side) - cube  # (3,) [m]
        if self._height > LOW and beside[2] < self._height and cube[2] < LIFTED:
            self._height, self.distance = float(beside[2]), float(np.hypot(*beside[:2]))
        return self._act(sim)


def put_beside(sim: BimanualSim, task: Lift, offset: NDArray[np.float64]) -> None:
    """Put the task's hand over its cube, beside it by (2,) [m], at rest and as open as it is."""
    pose, arm, hand = sim.joint_positions, arm_slice(task.side), ArmKinematics(task.side)
    target = sim.cube_position(task.colour) + np.append(offset, ABOVE)  # (3,) [m]
    pose[arm] = hand.solve(pose[arm], target, iterations=ITERATIONS)
    sim.place(pose)


def main() -> None:
    """Measure, print, write JSON."""
    parser = make_parser(__doc__, "out/bench/aim.json")
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", default=default_checkpoint(),
        help="folder of a checkpoint, or of a run; default: the shipped one",
    )  # fmt: skip
    parser.add_argument(
        "--beside", type=float, nargs="+", default=[0.0, 30.0], help="distances [mm]; default: %(default)s"
    )
    parser.add_argument("--scenes", type=int, default=24, help="for each; default: %(default)s")
    options = parse(parser, scenes=1)
    policy, settings = load_policy(options.checkpoint, "cpu"), node_settings(config_path(), {})
    tasks = [task for task in suite() if isinstance(task, Lift) and task.instruction in policy.known_tasks]
    if not tasks:
        raise SystemExit(f"{options.checkpoint}: expected a policy that knows a lifting task, got none")
    height, width = image_size(policy)
    figures: list[dict[str, Any]] = []
    with BimanualSim(FIRST_SEED, width=width, height=height) as sim:
        for beside in options.beside:
            distances, lifted = list[float](), 0
            for number in track(range(options.scenes), f"{beside:g} mm beside"):
                task, seed = tasks[number % len(tasks)], FIRST_SEED + number
                sim.reset(seed=seed)
                put_beside(sim, task, beside / 1000 * DIRECTIONS[number % len(DIRECTIONS)])
                act = _Lowest(NodeActor(policy, task.instruction, settings, LATENCY, seed), task)
                lifted += run_trial(sim, task, act, fps=settings.contract.fps).success
                distances.append(1000 * act.distance)
            figures.append({
                "beside_mm": beside,
                "scenes": options.scenes,
                "median_mm": float(np.median(distances)),
                "p90_mm": float(np.quantile(distances, 0.9)),
                "lifted": lifted,
            })  # fmt: skip
            print(figures[-1], flush=True)
    write_figures(options.output, figures)


if __name__ == "__main__":
    main()
