# SPDX-License-Identifier: Apache-2.0
"""`dit_policy export_robot`: from the network of several robots the ordinary checkpoint of one of them.

The policy that `train --unified-actions` trains is of all its robots. Each robot runs its own part of it: the
checkpoint that this command writes has the robot's joints and cameras, and gives the same actions.
"""

import argparse
import sys
from collections.abc import Sequence

from dit_policy_ros.cli.common import CommandParser
from dit_policy_ros.core.errors import DitPolicyError

EXAMPLE = """\
example:
  dit_policy export_robot out/both/checkpoints/last/pretrained_model --robot my_robot --output out/my_robot

then, for example:
  ros2 launch dit_policy_ros bimanual.launch.py checkpoint:=$PWD/out/my_robot
  dit_policy train --init out/my_robot --dataset ~/datasets/more --output out/fine_tuned

Without --robot it lists the robots. Exit code: 0, or 1 with the reason.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("export_robot", __doc__, EXAMPLE)
    parser.add_argument("checkpoint", help="folder of a checkpoint of train --unified-actions, or its hub id")
    parser.add_argument("--robot", help="name of the robot; without it the robots are listed")
    parser.add_argument("--output", help="folder to write; a checkpoint that is there is replaced")
    options = parser.parse_args(arguments)
    if bool(options.robot) != bool(options.output):
        parser.error("expected --robot and --output together, or neither, which lists the robots")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    # torch takes seconds; --help needs none
    from dit_policy_ros.policy.checkpoint import find_checkpoint
    from dit_policy_ros.policy.unified import export_robot, read_robots

    try:
        if not options.robot:
            for robot in read_robots(find_checkpoint(options.checkpoint)):
                pairs = zip(robot.facts.joint_names or (), robot.state_slots, strict=False)
                print(f"{robot.name}: {', '.join(f'{name} = {slot}' for name, slot in pairs)}")
            return 0
        folder = export_robot(options.checkpoint, options.robot, options.output)
    except DitPolicyError as error:
        print(f"dit_policy export_robot: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: the policy of {options.robot}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
