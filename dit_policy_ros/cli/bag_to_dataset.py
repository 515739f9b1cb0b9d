# SPDX-License-Identifier: Apache-2.0
"""`dit_policy bag_to_dataset`: convert the episodes of a bag into a LeRobotDataset, as if recorded live.

Reads rosbag2 in both storage formats (MCAP, SQLite). The robot is described by the same parameter file as for
the recorder. To continue an interrupted conversion, run the same command again: episodes that the dataset
already has are skipped.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dit_policy_ros.cli.common import progress_bar
from dit_policy_ros.core.errors import DitPolicyError

EXAMPLE = """\
examples:
  dit_policy bag_to_dataset session.mcap --config my_robot.yaml --dataset data/pick --topic /episode
  dit_policy bag_to_dataset bag_folder --config my_robot.yaml --dataset data/pick \\
      --episode 2.0 14.5 "pick up the red cube" --episode 20 31 "pick up the blue cube"
  dit_policy bag_to_dataset bag_folder --config my_robot.yaml --dataset data/pick --service-events /recorder

Exit code: 0 if every episode was converted, 1 if some were left out, 2 with the reason if nothing could be
converted.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy bag_to_dataset",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bag", type=Path, help="a bag's folder, or its .mcap or .db3 file")
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
    return parser.parse_args(arguments)


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
        return 2
    finally:
        context.try_shutdown()


def run(options: argparse.Namespace, context: Any) -> int:
    """Convert what the dataset lacks; raises DitPolicyError."""
    from dit_policy_ros.evaluation.bags import BagToDataset, read_recorder_settings
    from dit_policy_ros.ros.bags import Bag

    settings = read_recorder_settings(options.config, context, options.namespace)
    console = Console()
    results = []
    with Bag(options.bag) as bag:
        conversion = BagToDataset(
            bag,
            settings,
            options.dataset,
            options.namespace,
            lambda text: console.print(text, style="yellow", markup=False),
        )
        segments = find_segments(bag, options, settings.parameters["task"])
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


def find_segments(bag: Any, options: argparse.Namespace, default_task: str) -> list[Any]:
    """The bag's episodes, found in the way that the options choose."""
    from dit_policy_ros.ros.bags import from_ranges, from_service_events, from_topic

    if options.topic:
        return from_topic(bag, options.topic)
    if options.service_events:
        return from_service_events(bag, options.service_events, default_task)
    try:
        ranges = [(float(begin), float(end), task) for begin, end, task in options.episode]
    except ValueError as error:
        raise DitPolicyError(f"--episode BEGIN END TASK: expected seconds, {error}") from error
    return from_ranges(bag, ranges)


def describe(result: Any) -> str:
    """One line for the terminal."""
    if result.episode_index < 0:
        return f"left out: '{result.segment.task}': {result.problem}"
    text = f"episode {result.episode_index}: '{result.segment.task}', {result.frames} frames"
    return text if result.check.passed else f"{text}; FAILED the check: {'; '.join(result.check.reasons)}"


if __name__ == "__main__":
    sys.exit(main())
