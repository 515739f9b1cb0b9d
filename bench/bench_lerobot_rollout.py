#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Success of a checkpoint through LeRobot's commands beside this project's node, in the same scenes.

Ways:
  node          policy_node and sim_node, as `dit_policy evaluate`
  sync, rtc     lerobot-rollout with LeRobot's inference engine of this name; one command per scene
  eval          lerobot-eval, which takes turns with the physics
  lock_step     `dit_policy evaluate --lock-step`

Episodes are written down as they end, in a folder beside --output; run again, it does the missing ones.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from command_line import make_parser, parse, write_figures
from lerobot_rollouts import PLUGINS, Rollouts

from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.evaluation.defaults import FIRST_SEED
from dit_policy_ros.evaluation.episodes import Evaluation, EvaluationSettings
from dit_policy_ros.evaluation.report import EpisodeLog, results_by_task, wilson_interval
from dit_policy_ros.sim.tasks import Lift, Outcome, Task, Touch, suite

WAYS = ("node", "sync", "rtc", "eval", "lock_step")
EXECUTED = 8  # actions of a chunk, as in this project's lock-step evaluation


def main() -> None:
    parser = make_parser(__doc__, "out/bench/lerobot_rollout.json")
    parser.add_argument(
        "--rounds", type=int, default=5, help="episodes of each of the 12 tasks to touch or lift"
    )
    parser.add_argument(
        "--ways", nargs="+", choices=WAYS, default=["node", "sync"], help="default: node sync"
    )
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--tasks", nargs="+", help="instructions; default: all to touch or lift")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        help="further option of lerobot-rollout, e.g. --option=--fps=15",
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=0.0,
        help="of simulated time and LeRobot's loop for sync; 0: real time. A busy computer needs 0.2",
    )
    options = parse(parser, rounds=1, ways=["eval"], tasks=["touch the red cube with the left arm"])
    tasks = [task for task in suite() if isinstance(task, Touch | Lift)]
    if options.tasks:
        tasks = [task for task in suite() if task.instruction in options.tasks]
    figures: dict[str, Any] = {"cores": os.cpu_count() or 0}
    for way in options.ways:
        folder = options.output.parent / f"{options.output.stem}_{way}"
        outcomes = run(
            way, folder, tasks, options.rounds, options.checkpoint, tuple(options.option), options.speed
        )
        figures |= {f"{way}_{name}": value for name, value in summary(outcomes).items()}
        write_figures(options.output, figures)
        print(f"{way}: {text(outcomes)}", flush=True)
    print(f"written to {options.output}")


def run(
    way: str,
    folder: Path,
    tasks: Sequence[Task],
    rounds: int,
    checkpoint: Path,
    options: tuple[str, ...],
    speed: float,
) -> list[Outcome]:
    """The outcomes of one way; those that are in the folder already are not repeated."""
    if way in ("node", "lock_step"):
        settings = EvaluationSettings(
            folder,
            checkpoint=checkpoint,
            tasks=tuple(task.instruction for task in tasks),
            episodes=rounds,
            lock_step=way == "lock_step",
            execute=EXECUTED,
            max_videos=0,
            resume=True,
        )
        with Evaluation(settings) as evaluation:
            for done in evaluation.run():
                print(f"{way}: {'done' if done.success else 'failed'}: {done.task.instruction}", flush=True)
            return evaluation.outcomes
    facts = {"way": way, "checkpoint": str(checkpoint), "options": list(options), "speed": speed}
    log = EpisodeLog(folder, facts, resume=True)
    try:
        if way == "eval":
            seeds = range(FIRST_SEED, FIRST_SEED + rounds)
            plan = [(task, seed) for task in tasks for seed in seeds]
            episodes = evaluated(folder, [each for each in plan if each not in log.outcomes], checkpoint)
        else:
            order = [task for _ in range(rounds) for task in tasks]
            plan = [(task, FIRST_SEED + number) for number, task in enumerate(order)]
            rollouts = Rollouts(
                checkpoint,
                (f"--inference.type={way}", f"--policy.n_action_steps={EXECUTED}", *options),
                folder,
                speed,
            )
            episodes = rollouts.run([each for each in plan if each not in log.outcomes])
        for seed, outcome in episodes:
            log.add(seed, outcome)
            print(f"{way}: {'done' if outcome.success else 'failed'}: {outcome.task.instruction}", flush=True)
        return [log.outcomes[each] for each in plan]
    finally:
        log.close()


def evaluated(
    folder: Path, plan: Sequence[tuple[Task, int]], checkpoint: Path
) -> Iterator[tuple[int, Outcome]]:
    """Episodes of lerobot-eval, one command for the scenes of a task that follow each other."""
    for task in dict.fromkeys(task for task, _ in plan):
        seeds = [seed for other, seed in plan if other == task]
        output = folder / "lerobot_eval"
        with (folder / "lerobot.log").open("w") as sink:
            subprocess.run(
                [
                    str(Path(sys.executable).with_name("lerobot-eval")),
                    "--env.type=dit_policy_ros",
                    f"--env.task={task.instruction}",
                    f"--policy.path={checkpoint.absolute()}",
                    f"--policy.n_action_steps={EXECUTED}",
                    f"--eval.n_episodes={len(seeds)}",
                    "--eval.batch_size=1",
                    f"--seed={seeds[0]}",
                    f"--output_dir={output.absolute()}",
                ],
                check=True,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": _path()},
            )
        metrics = json.loads((output / "eval_info.json").read_text())["per_task"][0]["metrics"]
        for seed, success in zip(seeds, metrics["successes"], strict=True):
            did = (task.instruction,) if success else ()
            yield seed, Outcome(task, bool(success), task.time_limit, did)


def _path() -> str:
    return os.pathsep.join(p for p in (str(PLUGINS), str(PLUGINS.parent), os.environ.get("PYTHONPATH")) if p)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of one way."""
    successes = sum(outcome.success for outcome in outcomes)
    low, high = wilson_interval(successes, len(outcomes))
    return {
        "episodes": len(outcomes),
        "successes": successes,
        "interval_low": low,
        "interval_high": high,
        "holds": sum(outcome.holds for outcome in outcomes),
    }


def text(outcomes: Sequence[Outcome]) -> str:
    """One line for people."""
    figures = summary(outcomes)
    tasks = results_by_task(outcomes)
    seconds = [each.seconds for each in tasks if each.seconds is not None]
    jerks = [each.jerk for each in tasks if each.jerk is not None]
    share = f"{figures['successes']} of {figures['episodes']}"
    interval = f"{figures['interval_low']:.0%} to {figures['interval_high']:.0%}"
    time = f", {sum(seconds) / len(seconds):.1f} s" if seconds else ""
    jerk = f", {sum(jerks) / len(jerks):.0f} rad/s^3" if jerks else ""
    return f"{share} ({interval}), {figures['holds']} holds{time}{jerk}"


if __name__ == "__main__":
    main()
