# SPDX-License-Identifier: Apache-2.0
"""`dit_policy evaluate`: how often does a policy do what it is told, in simulated scenes it has never seen?

The real policy_node drives the real sim_node, as processes of their own with ROS between them, so latency,
ensembling, splicing and limits are in it. With --lock-step everything takes turns instead: no clock, no ROS,
so that a seed is an outcome; that judges the network alone. Success is judged on the physics state.
"""

import argparse
import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dit_policy_ros.cli.variation_options import add_variation_options, sim_parameters, variation
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.evaluation.episodes import PolicyActor, image_size
from dit_policy_ros.evaluation.report import (
    EpisodeFilm,
    EpisodeLog,
    TaskResult,
    TaskSheet,
    by_task,
    confusion,
    plot_confusion,
    plot_success,
    write,
)
from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.tasks import Act, Outcome, Task, find_task, run_trial, suite

FIRST_SEED = 10_000  # scenes of evaluations never occur in training data, whose seeds are smaller

EPILOG = """\
examples:
  what can be asked for, and when it counts as done
    dit_policy evaluate --list-tasks
  the shipped policy on all tasks that it knows, 50 episodes each
    dit_policy evaluate --episodes 50
  the network alone, the same outcome each time
    dit_policy evaluate --episodes 50 --lock-step
  go on where an evaluation was interrupted, or extend it
    dit_policy evaluate --episodes 100 --resume
  how well the scripted operator does, as the upper end of the scale
    dit_policy evaluate --actor operator --episodes 20

Written to --output: summary.json (by task: success_rate and its Wilson interval ci95, wrong_rate, seconds;
the confusion matrix of instruction against behaviour), table.md, success.png, confusion.png, and videos of
the first failures of each task in failures/. Each episode is kept in episodes.jsonl as soon as it ends.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy evaluate",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list-tasks", action="store_true", help="describe the tasks and end")
    parser.add_argument(
        "--checkpoint", type=Path, default=default_checkpoint(), help="default: the shipped one"
    )
    parser.add_argument(
        "--actor",
        choices=("policy", "operator", "still"),
        default="policy",
        help="who acts: the policy, or in lock-step the scripted operator or nobody; default: %(default)s",
    )
    parser.add_argument(
        "--tasks", nargs="+", metavar="TEXT", help="instructions; default: those that the policy knows"
    )
    parser.add_argument("--episodes", type=int, default=10, help="of each task; default: %(default)s")
    parser.add_argument(
        "--seed", type=int, default=FIRST_SEED, help="of the first scene; default: %(default)s"
    )
    parser.add_argument(
        "--lock-step", action="store_true", help="physics, cameras and policy take turns; no ROS"
    )
    parser.add_argument(
        "--execute",
        type=int,
        default=8,
        help="steps of each chunk that are executed in lock-step; default: %(default)s",
    )
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME:=VALUE",
        help="a parameter of the policy node, as `ros2 run ... -p` takes it; may be repeated",
    )
    add_variation_options(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<n>; default: %(default)s")
    parser.add_argument("--sampling-steps", type=int, help="of the policy; default: the checkpoint's")
    parser.add_argument("--guidance-scale", type=float, default=1.0, help="1 is off; default: %(default)s")
    parser.add_argument(
        "--videos",
        type=int,
        default=2,
        help="of failures, at most so many per task; 0 films nothing; default: %(default)s",
    )
    parser.add_argument("--output", type=Path, default=Path("out/evaluate"), help="default: %(default)s")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep the episodes that --output holds, of the same policy and options; make what is missing",
    )
    options = parser.parse_args(arguments)
    for name in ("episodes", "execute"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: expected at least 1, got {getattr(options, name)}")
    if options.videos < 0:
        parser.error(f"--videos: expected 0 or more, got {options.videos}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit code: 0 whatever the success, 1 a mistake that the message names."""
    options = parse(arguments)
    console = Console()
    if options.list_tasks:
        console.print(task_table())
        return 0
    try:
        return run(options, console)
    except DitPolicyError as error:
        print(f"dit_policy evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(options: argparse.Namespace, console: Console) -> int:
    """One evaluation with parsed options."""
    in_turns = options.lock_step or options.actor != "policy"
    policy = _load(options) if options.actor == "policy" else None
    tasks = _tasks(options, policy)
    facts = _facts(options, policy, in_turns)
    log = EpisodeLog(options.output, facts, options.resume)
    sheet = TaskSheet(options.output / "rows", anew=not options.resume)
    film = EpisodeFilm(options.output / "failures", options.videos, sheet, log.outcomes)
    wanted = in_turns_plan(options, tasks) if in_turns else ros_plan(options, tasks)
    missing = [each for each in wanted if each not in log.outcomes]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, TextColumn("{task.fields[note]}"), console=console)
    with contextlib.closing(log), progress as bar:
        line = bar.add_task("episodes", total=len(wanted), completed=len(wanted) - len(missing), note="")
        for seed, outcome in (episodes if in_turns else _through_ros)(options, policy, missing, film):
            log.add(seed, outcome)
            succeeded = sum(each.success for each in log.outcomes.values())
            bar.update(line, advance=1, note=f"{succeeded} succeeded")
    outcomes = [log.outcomes[each] for each in wanted]
    facts |= {"videos": [str(path) for path in film.paths]}
    path = write(options.output, outcomes, **facts)
    plot_success(by_task(outcomes), options.output / "success.png")
    plot_confusion(confusion(outcomes), options.output / "confusion.png")
    sheet.write((task.instruction for task in tasks), options.output / "sheet.jpg")
    console.print(result_table(by_task(outcomes)))
    for asked, row in confusion(outcomes).items():
        others = {behaviour: count for behaviour, count in row.items() if behaviour != asked}
        if others:
            found = "; ".join(f"{count} x {behaviour}" for behaviour, count in others.items())
            console.print(f"asked to {asked}: {found}", markup=False, highlight=False)
    console.print(f"{path} has the details.", soft_wrap=True)
    return 0


type Plan = Sequence[tuple[Task, int]]  # what is asked for, and the seed of its scene


def in_turns_plan(options: argparse.Namespace, tasks: Sequence[Task]) -> Plan:
    """Every task in every scene; a scene looks the same for all tasks."""
    seeds = range(options.seed, options.seed + options.episodes)
    return [(task, seed) for seed in seeds for task in tasks]


def ros_plan(options: argparse.Namespace, tasks: Sequence[Task]) -> Plan:
    """Every task as often as asked, each episode in another scene."""
    every = [task for _ in range(options.episodes) for task in tasks]
    return [(task, options.seed + number) for number, task in enumerate(every)]


def episodes(
    options: argparse.Namespace, policy: Policy | None, plan: Plan, film: EpisodeFilm
) -> Iterator[tuple[int, Outcome]]:
    """Carry a plan out in lock-step; yields seeds and what came of them."""
    height, width = image_size(policy) if policy else (240, 320)
    fps = (policy.fps if policy else None) or 30.0
    with BimanualSim(options.seed, width=width, height=height, variation=variation(options)) as sim:
        for task, seed in plan:
            sim.reset(seed=seed, arm_jitter=0.05)
            if policy is not None:
                policy.seed_sampling(seed)
            film.begin()
            act = film.watching(_actor(options, policy, sim, task, seed))
            outcome = run_trial(sim, task, act, others=suite(), fps=fps)
            film.end(outcome, seed)
            yield seed, outcome


def _through_ros(
    options: argparse.Namespace, policy: Policy | None, plan: Plan, film: EpisodeFilm
) -> Iterator[tuple[int, Outcome]]:
    """Carry a plan out by the real nodes."""
    from dit_policy_ros.evaluation.episodes import ros_episodes

    parameters = {"checkpoint": str(options.checkpoint.absolute()), "device": options.device}
    parameters |= {"guidance_scale": str(options.guidance_scale)} if options.guidance_scale != 1.0 else {}
    if options.sampling_steps is not None:
        parameters["num_inference_steps"] = str(options.sampling_steps)
    for given in options.parameter:
        name, separator, value = given.partition(":=")
        if not separator:
            raise DitPolicyError(f"--parameter: expected NAME:=VALUE, got {given!r}")
        parameters[name] = value
    return ros_episodes(plan, parameters, sim_parameters(options), options.output / "logs", film)


def _facts(options: argparse.Namespace, policy: Policy | None, in_turns: bool) -> dict[str, Any]:
    """What is evaluated; episodes of other facts are not counted together."""
    facts = {
        "actor": options.actor,
        "checkpoint": None,
        "weights_sha256": None,
        "description": policy.description if policy else None,
        "first_seed": options.seed,
        "camera_jitter": options.camera_jitter,
        "lighting": options.lighting,
        "execute": options.execute if in_turns else None,
        "parameters": [] if in_turns else options.parameter,
        "mode": "lock-step" if in_turns else "ros",
    }
    if policy:
        from dit_policy_ros.policy.checkpoint import WEIGHTS_FILE, find_checkpoint

        weights = (find_checkpoint(options.checkpoint) / WEIGHTS_FILE).read_bytes()
        facts["checkpoint"] = str(options.checkpoint)
        facts["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    return facts


def task_table() -> Table:
    """What can be asked for."""
    table = Table("instruction", "time limit [s]", "done when", title="tasks of the simulated scene")
    for task in suite():
        table.add_row(task.instruction, f"{task.time_limit:g}", task.success)
    return table


def result_table(results: Sequence[TaskResult]) -> Table:
    """By task."""
    table = Table("instruction", "success", "95% interval", "another task", "median time [s]")
    for result in results:
        seconds = "" if result.seconds is None else f"{result.seconds:.1f}"
        interval = "{:.0%} to {:.0%}".format(*result.ci95)
        share = f"{result.successes} of {result.episodes}"
        table.add_row(result.instruction, share, interval, f"{result.wrong_rate:.0%}", seconds)
    return table


def _load(options: argparse.Namespace) -> Policy:
    from dit_policy_ros.policy import load_policy

    given = {} if options.sampling_steps is None else {"sampling_steps": options.sampling_steps}
    return load_policy(options.checkpoint, options.device, guidance_scale=options.guidance_scale, **given)


def _tasks(options: argparse.Namespace, policy: Policy | None) -> tuple[Task, ...]:
    if options.tasks:
        return tuple(find_task(instruction) for instruction in options.tasks)
    if policy is None:
        return suite()
    known = tuple(task for task in suite() if task.instruction in policy.known_tasks)
    if not known:
        raise DitPolicyError(
            f"{options.checkpoint} knows no task of this scene; it knows {', '.join(policy.known_tasks)}. "
            f"Name tasks with --tasks; dit_policy evaluate --list-tasks lists them"
        )
    return known


def _actor(
    options: argparse.Namespace, policy: Policy | None, sim: BimanualSim, task: Task, seed: int
) -> Act:
    if policy is not None:
        return PolicyActor(policy, task.instruction, options.execute)
    if options.actor == "operator":
        operator = Operator(np.random.default_rng(seed))
        operator.begin(sim, task)
        return operator.act
    pose = sim.command
    still: Callable[[BimanualSim], np.ndarray] = lambda sim: pose  # noqa: E731
    return still


if __name__ == "__main__":
    sys.exit(main())
