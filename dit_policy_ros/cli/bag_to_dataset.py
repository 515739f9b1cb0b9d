# SPDX-License-Identifier: Apache-2.0
"""`dit_policy bag_to_dataset`: convert the episodes of a bag into a LeRobotDataset, as if recorded live.

Reads rosbag2 in both storage formats (MCAP, SQLite). The robot is described by the same parameter file as for
the recorder. To continue an interrupted conversion, run the same command again: episodes that the dataset
already has are skipped. Several bags are converted at the same time with --workers or --ray, each into a part
of its own, and LeRobot's aggregation makes one dataset of the parts.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dit_policy_ros.cli.common import CommandParser, add_worker_options, progress_bar, read_workers
from dit_policy_ros.core.errors import DitPolicyError

EXAMPLE = """\
examples:
  dit_policy bag_to_dataset session.mcap --config my_robot.yaml --dataset data/pick --topic /episode
  dit_policy bag_to_dataset bag_folder --config my_robot.yaml --dataset data/pick \\
      --episode 2.0 14.5 "pick up the red cube" --episode 20 31 "pick up the blue cube"
  dit_policy bag_to_dataset bag_folder --config my_robot.yaml --dataset data/pick --service-events /recorder

  dit_policy bag_to_dataset day_1/* day_2/* --config my_robot.yaml --dataset data/pick --topic /episode \\
      --workers 8
  dit_policy bag_to_dataset @bags.txt --config my_robot.yaml --dataset data/pick --topic /episode \\
      --ray HOST:6379                       # bags.txt has a path per line; docs/scale.md

Exit code: 0 if every episode was converted, 1 with the reason if some or all were left out, 2 for wrong
options.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("bag_to_dataset", __doc__, EXAMPLE)
    parser.fromfile_prefix_chars = "@"
    parser.add_argument("bag", type=Path, nargs="+", help="a bag's folder, or its .mcap or .db3 file")
    parser.add_argument("--config", type=Path, required=True, help="the robot's parameter file")
    parser.add_argument("--dataset", type=Path, required=True, help="folder, created or extended")
    parser.add_argument("--namespace", default="", help="of the robot's topics in the bag")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--episode",
        nargs=3,
        action="append",
        metavar=("BEGIN", "END", "TASK"),
        help="an episode, in seconds after the bag's beginning; repeat it for several",
    )
    where.add_argument("--topic", help="std_msgs/String: a task begins an episode, an empty text ends it")
    where.add_argument(
        "--service-events", metavar="NODE", help="the recorder's name, whose service events are in the bag"
    )
    add_worker_options(parser, "conversions")
    options = parser.parse_args(arguments)
    if options.episode and len(options.bag) > 1:
        parser.error("--episode: its times are of one bag; convert that bag alone, or use --topic")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    context = rclpy.Context()
    rclpy.init(context=context, args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        return run(options, context)
    except DitPolicyError as error:
        print(f"dit_policy bag_to_dataset: {error}", file=sys.stderr)
        return 1
    finally:
        context.try_shutdown()


def run(options: argparse.Namespace, context: Any) -> int:
    """Convert what the dataset lacks; raises DitPolicyError."""
    from dit_policy_ros.evaluation.bags import read_recorder_settings

    workers = read_workers(options)
    settings = read_recorder_settings(options.config, context, options.namespace)
    console = Console()
    if len(options.bag) > 1 or workers.are_many:
        return convert_many(options, settings, workers, console)
    return convert_one(options, settings, console)


def convert_one(options: argparse.Namespace, settings: Any, console: Console) -> int:
    """Convert a bag directly into the dataset; returns the exit code. Raises DitPolicyError."""
    from dit_policy_ros.evaluation.bags import BagToDataset
    from dit_policy_ros.ros.bags import Bag

    results = []
    with Bag(options.bag[0]) as bag:
        conversion = BagToDataset(
            bag,
            settings,
            options.dataset,
            options.namespace,
            lambda text: console.print(text, style="yellow", markup=False),
        )
        segments = segment_choice(options).find(bag, settings.parameters["task"])
        with conversion, progress_bar(console) as bar:
            missing = conversion.missing(segments)
            if len(missing) < len(segments):
                skipped = len(segments) - len(missing)
                console.print(f"{skipped} of {len(segments)} episodes are in the dataset already")
            line = bar.add_task("messages", total=conversion.messages, note="")
            for result in conversion.convert(missing, lambda count: bar.update(line, completed=count)):
                results.append(result)
                console.print(describe(result), markup=False)
    return 0 if all(result.episode_index >= 0 for result in results) else 1


def convert_many(options: argparse.Namespace, settings: Any, workers: Any, console: Console) -> int:
    """Convert bags in parts and merge these; returns the exit code. Raises DitPolicyError."""
    from dit_policy_ros.evaluation.bags import ManyBags

    is_complete, any_episode = True, False
    where = segment_choice(options)
    with (
        ManyBags(options.bag, settings, options.dataset, options.namespace, where, workers) as bags,
        progress_bar(console) as bar,
    ):
        line = bar.add_task("bags", total=bags.total, note="")
        for result in bags.convert():
            bar.update(line, advance=1, note=result.bag.name)
            for text in result.warnings:
                console.print(f"{result.bag.name}: {text}", style="yellow", markup=False)
            for converted in result.converted:
                console.print(f"{result.bag.name}: {describe(converted)}", markup=False)
            if result.problem:
                console.print(f"{result.bag}: {result.problem}", style="red", markup=False)
            any_episode |= any(each.episode_index >= 0 for each in result.converted) or result.skipped > 0
            is_complete &= not result.problem and all(each.episode_index >= 0 for each in result.converted)
        bar.update(line, note="merging")
        total = bags.merge()
    console.print(f"{options.dataset} has {total} episodes", soft_wrap=True)
    return 0 if is_complete and any_episode else 1


def segment_choice(options: argparse.Namespace) -> Any:
    """Where the episodes are, as the options choose."""
    from dit_policy_ros.evaluation.bags import SegmentChoice

    try:
        ranges = tuple((float(begin), float(end), task) for begin, end, task in options.episode or ())
    except ValueError as error:
        raise DitPolicyError(f"--episode BEGIN END TASK: expected seconds, {error}") from error
    return SegmentChoice(options.topic or "", options.service_events or "", ranges)


def describe(result: Any) -> str:
    """One line for the terminal."""
    if result.episode_index < 0:
        return f"left out: '{result.segment.task}': {result.problem}"
    text = f"episode {result.episode_index}: '{result.segment.task}', {result.frames} frames"
    text += f" ({result.note})" if result.note else ""
    return text if result.check.passed else f"{text}; FAILED the check: {'; '.join(result.check.reasons)}"


if __name__ == "__main__":
    sys.exit(main())
