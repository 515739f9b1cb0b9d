# SPDX-License-Identifier: Apache-2.0
"""`dit_policy bag_to_dataset`: episodes from bags into a LeRobotDataset, as if they had been recorded live.

Reads rosbag2 in both storage formats (MCAP, SQLite). The robot is described by the same parameter file as for
the recorder. A run that was interrupted goes on where it stopped: episodes that are in the dataset are not
added again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dit_policy_ros.core.errors import DitPolicyError

EXAMPLE = """\
examples:
  dit_policy bag_to_dataset session.mcap --config my_robot.yaml --dataset data/pick --topic /episode
  dit_policy bag_to_dataset bag_folder --config my_robot.yaml --dataset data/pick \\
      --episode 2.0 14.5 "pick up the red cube" --episode 20 31 "pick up the blue cube"
  dit_policy bag_to_dataset bag_folder --config my_robot.yaml --dataset data/pick --service-events /recorder

Exit code: 0 if every episode was converted, 1 if some were left out, 2 with the reason if nothing could be
done.
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
        help="an episode by seconds after the bag's beginning; may be repeated",
    )
    where.add_argument("--topic", help="std_msgs/String: a task begins an episode, an empty text ends it")
    where.add_argument(
        "--service-events", metavar="NODE", help="the recorder's name, whose service events are in the bag"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context, args=[], signal_handler_options=rclpy.SignalHandlerOptions.NO)
    try:
        return convert(options, context)
    except DitPolicyError as error:
        print(f"dit_policy bag_to_dataset: {error}", file=sys.stderr)
        return 2
    finally:
        context.try_shutdown()


def convert(options: argparse.Namespace, context: Any) -> int:
    """Converts what is not in the dataset yet; raises DitPolicyError."""
    from dit_policy_ros.data.dataset import read_records
    from dit_policy_ros.data.recording import DatasetWriter, Recover
    from dit_policy_ros.ros.bags import Bag, BagConverter, absolute, source_of
    from dit_policy_ros.ros.recorder import action_settings, thresholds, video_settings

    contract, settings = read_configuration(options.config, context)
    console = Console()
    converter = BagConverter(
        contract,
        action_settings(settings, contract.joints),
        thresholds(settings),
        options.namespace,
        lambda text: console.print(text, style="yellow", markup=False),
    )
    with Bag(options.bag) as bag:
        converter.check_topics(bag)
        segments = find_segments(bag, options, settings["task"])
        writer = DatasetWriter(
            options.dataset,
            contract.fps,
            contract.cameras,
            contract.joints,
            contract.robot_type,
            video=video_settings(settings),
            recover=Recover.DISCARD,  # what a run left half done is read from the bag again
        )
        try:
            done = [record.figures for record in read_records(options.dataset).values()]
            left = [s for s in segments if not any(source_of(bag.path, s).items() <= f.items() for f in done)]
            if len(left) < len(segments):
                console.print(f"{len(segments) - len(left)} of {len(segments)} episodes are there already")
            topics = [absolute(i.topic, options.namespace) for i in converter.inputs()]
            columns = (TextColumn("messages"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            results = []
            with Progress(*columns, console=console) as bar:
                line = bar.add_task("", total=bag.count(topics))
                for result in converter.convert(bag, left, writer, lambda n: bar.update(line, completed=n)):
                    results.append(result)
                    console.print(describe(result), markup=False)
        finally:
            writer.finalize()
    return 0 if all(result.episode_index >= 0 for result in results) else 1


def find_segments(bag: Any, options: argparse.Namespace, default_task: str) -> list[Any]:
    """As the options say."""
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


def read_configuration(path: Path, context: Any) -> tuple[Any, dict[str, Any]]:
    """The contract and the recorder's parameters, from a parameter file as the node reads it."""
    from rclpy.node import Node

    from dit_policy_ros.ros.common import declare_parameters, read_parameters
    from dit_policy_ros.ros.recorder import RECORDER_PARAMETERS

    if not path.is_file():
        raise DitPolicyError(f"--config: {path} is no file")
    node = Node(
        "recorder",
        context=context,
        cli_args=["--ros-args", "--params-file", str(path)],
        automatically_declare_parameters_from_overrides=True,
    )
    try:
        declare_parameters(node, RECORDER_PARAMETERS)
        return read_parameters(node, RECORDER_PARAMETERS)
    finally:
        node.destroy_node()


def describe(result: Any) -> str:
    """One line for the terminal."""
    if result.episode_index < 0:
        return f"left out: '{result.segment.task}': {result.problem}"
    text = f"episode {result.episode_index}: '{result.segment.task}', {result.frames} frames"
    return text if result.check.passed else f"{text}; FAILED the check: {'; '.join(result.check.reasons)}"


if __name__ == "__main__":
    sys.exit(main())
