# SPDX-License-Identifier: Apache-2.0
"""`dit_policy contract`: write the contract of a running robot.

Joints and limits come from robot_description, controllers from the controller manager or their own topics and
parameters, cameras and joint states from their messages, with sizes, encodings and measured rates. What
nobody can find out is marked with FILL_IN, and every program refuses the contract until it is filled in. This
program only listens.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dit_policy_ros.cli.common import CommandParser, number_between
from dit_policy_ros.cli.robot._survey_options import add_survey_options
from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.core.contract import FILL_IN
from dit_policy_ros.core.errors import ContractError, DitPolicyError
from dit_policy_ros.evaluation.new_contract import (
    Choices,
    RobotFacts,
    contract_text,
    draft_contract,
    look_at_robot,
    places_to_fill_in,
    read_dataset_facts,
)
from dit_policy_ros.ros.survey import read_contract_file, survey_node

EXAMPLE = """\
examples:
  dit_policy contract my_robot.yaml                    of the robot in this ROS domain
  dit_policy contract my_robot.yaml --from-dataset ~/datasets/pick
                                                       names, rate, cameras and limits of demonstrations, too
  dit_policy contract my_robot.yaml --from-dataset ~/datasets/pick --offline
                                                       without a robot

Limits from demonstrations are 1.5 times what the motion needed. Then: fill in, and run dit_policy doctor.

Exit code: 0 written, 1 it failed, 2 wrong options.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("contract", __doc__, EXAMPLE)
    parser.add_argument("output", type=Path, help="file to write, as my_robot.yaml")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    parser.add_argument(
        "--from-dataset", type=Path, metavar="FOLDER",
        help="a LeRobotDataset of this robot: names, rate, cameras, velocity and acceleration limits",
    )  # fmt: skip
    parser.add_argument(
        "--offline", action="store_true", help="do not look for a robot; needs --from-dataset"
    )
    parser.add_argument("--robot-type", default="", metavar="NAME", help="a name for this kind of robot")
    parser.add_argument(
        "--fps", type=number_between(1.0, 1000.0, "Hz"), metavar="HZ", help="rate of observations and actions"
    )
    add_survey_options(parser)
    options = parser.parse_args(arguments)
    if options.offline and options.from_dataset is None:
        parser.error("--offline needs --from-dataset: without a robot, a dataset is all there is to look at")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the contract; returns the exit code."""
    options = parse(arguments)
    console = Console(highlight=False, soft_wrap=True)
    output: Path = options.output.expanduser()
    if output.exists() and not options.force:
        print(f"dit_policy contract: {output} exists; --force replaces it", file=sys.stderr)
        return 1
    if output.is_dir() or not output.parent.is_dir():
        wrong = f"{output} is a folder" if output.is_dir() else f"there is no folder {output.parent}"
        print(f"dit_policy contract: {wrong}: give a file to write, as my_robot.yaml", file=sys.stderr)
        return 1
    try:
        dataset = (
            None if options.from_dataset is None else read_dataset_facts(options.from_dataset.expanduser())
        )
        robot = RobotFacts()
        if not options.offline:
            with survey_node(options.namespace, options.use_sim_time) as node:
                time.sleep(options.discovery_time)
                robot = look_at_robot(
                    node, options.seconds, lambda text: console.print(f"looking at {text}", markup=False)
                )
            if not (robot.controllers or robot.images or robot.joint_states):
                raise ContractError(
                    "no robot was found: nobody publishes images or joint states, and no controller listens. "
                    "Is it running, and are ROS_DOMAIN_ID and the discovery range the same?"
                )
        choices = Choices(options.robot_type, options.fps, options.namespace)
        draft = draft_contract(robot, dataset, choices)
        write_atomically(output, contract_text(draft, robot.notes))
    except (DitPolicyError, OSError) as error:
        print(f"dit_policy contract: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    for note in robot.notes:
        console.print(f"note: {note}", markup=False)
    console.print(f"written: {output}", markup=False)
    counts = {name: places_to_fill_in({name: value}) for name, value in draft.items()}
    if missing := ", ".join(f"{name} ({count})" for name, count in counts.items() if count):
        console.print(f"to be filled in by you, look for {FILL_IN}: {missing}", markup=False)
        return 0
    try:
        read_contract_file(output)
    except ContractError as problems:
        console.print(f"to be corrected by you: {problems}", markup=False)
    else:
        console.print(f"It is complete. Next: dit_policy doctor {output}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
