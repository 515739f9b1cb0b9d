# SPDX-License-Identifier: Apache-2.0
"""`dit_policy dataset`: record demonstrations of the simulated tasks, as on hardware.

sim_node, teleop_expert and recorder_node run as processes of their own with ROS between them, faster than
real time if the computer can. Each demonstration begins in a new scene, and the referee decides when its
task is done. Failed attempts are discarded and repeated. The recorded action is the leader arms' joint
positions; the arms themselves get a small error, which the operator corrects. An existing dataset is
extended: run the command again to continue an interrupted one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dit_policy_ros.cli.common import (
    add_domain_option,
    add_task_option,
    add_variation_options,
    progress_bar,
    read_variation,
)
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.demonstrations import (
    Demonstration,
    DemonstrationSettings,
    demonstration_table,
    lockstep_demonstrations,
    ros_demonstrations,
)
from dit_policy_ros.sim.robot import CAMERAS
from dit_policy_ros.sim.tasks import find_task, suite

EPILOG = """\
example:
  twenty demonstrations of each of two tasks, with the top camera
    dit_policy dataset --output out/lift --demonstrations 20 --cameras top \\
        --task "lift the red cube with the left arm" --task "lift the blue cube with the right arm"
    dit_policy train --dataset out/lift --output out/lift_policy
dit_policy evaluate --list-tasks lists the tasks.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy dataset",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the LeRobotDataset")
    parser.add_argument("--demonstrations", type=int, default=10, help="of each task; default: %(default)s")
    add_task_option(parser, default="all tasks")
    parser.add_argument(
        "--cameras", nargs="+", choices=CAMERAS, default=list(CAMERAS), help="to record; default: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first scene; default: %(default)s")
    parser.add_argument(
        "--speed", type=float, default=2.0,
        help="highest speed of the simulation, in multiples of real time; it also waits for cameras and "
        "operator; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--disturbance", type=float, default=0.006,
        help="standard deviation of the error added to the arms' targets [rad]; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--knocks", type=float, default=0.0,
        help="how often a knock displaces the arms by centimetres [1/s]; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--start-anywhere", action="store_true",
        help="with --lock-step, often begin with the arm over the mat, or over its cube as after a missed "
        "grasp",
    )  # fmt: skip
    parser.add_argument(
        "--picture-every", type=int, default=1, metavar="FRAMES",
        help="with --lock-step, render only every so many frames: more demonstrations in less time; the "
        "frames between repeat the image and are flagged, and training starts no example there; "
        "default: %(default)s",
    )  # fmt: skip
    add_variation_options(parser)
    parser.add_argument(
        "--lock-step", action="store_true",
        help="without ROS and its latency, as fast as the computer can, with the recorder's own writer",
    )  # fmt: skip
    add_domain_option(parser)
    parser.add_argument(
        "--logs", type=Path, default=Path("out/dataset"), help="of the nodes; default: %(default)s"
    )
    options = parser.parse_args(arguments)
    if options.demonstrations < 1:
        parser.error(f"--demonstrations: expected at least 1, got {options.demonstrations}")
    if not 0.0 <= options.knocks <= 5.0:
        parser.error(f"--knocks: expected 0 to 5 per second, got {options.knocks}")
    if options.start_anywhere and not options.lock_step:
        parser.error("--start-anywhere: only with --lock-step; sim_node's scenes begin with the arms at home")
    if options.domain is not None and options.lock_step:
        parser.error("--domain: not with --lock-step, which runs without ROS")
    if options.picture_every < 1 or (options.picture_every > 1 and not options.lock_step):
        parser.error(f"--picture-every: expected 1, or more with --lock-step, got {options.picture_every}")
    if not 0.1 <= options.speed <= 100.0:
        parser.error(f"--speed: expected 0.1 to 100 times real time, got {options.speed}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Record; returns the exit code: 0 done, 1 a mistake that the message names, 130 interrupted."""
    options = parse(arguments)
    console = Console()
    try:
        run(options, console)
    except DitPolicyError as error:
        print(f"dit_policy dataset: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        console.print(
            f"interrupted; saved demonstrations are in {options.output}; run the command again to add more"
        )
        return 130
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Record and print; raises DitPolicyError."""
    settings = DemonstrationSettings(
        output=options.output,
        logs=options.logs,
        cameras=tuple(options.cameras),
        seed=options.seed,
        speed=options.speed,
        disturbance=options.disturbance,
        knocks=options.knocks,
        start_anywhere=options.start_anywhere,
        picture_every=options.picture_every,
        variation=read_variation(options),
        domain=options.domain,
    )
    tasks = tuple(map(find_task, options.tasks)) or suite()
    order = [task for _ in range(options.demonstrations) for task in tasks]
    record = lockstep_demonstrations if options.lock_step else ros_demonstrations
    kept: list[Demonstration] = []
    with progress_bar(console) as bar:
        line = bar.add_task("demonstrations", total=len(order), note="starting")
        for demonstration in record(settings, order):
            kept.append(demonstration)
            bar.update(line, advance=1, note=demonstration.task.instruction)
            for warning in demonstration.warnings:
                console.print(f"  {demonstration.task.instruction}: {warning}", markup=False)
    console.print(demonstration_table(tasks, kept))
    console.print(f"{len(kept)} demonstrations were added to {options.output}.", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
