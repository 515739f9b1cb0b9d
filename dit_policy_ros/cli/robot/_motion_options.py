# SPDX-License-Identifier: Apache-2.0
"""Options of the programs that start a policy node to move the robot."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dit_policy_ros.cli.common import ros_name

_CONFIRMATION = "move"
_ROS_ARGUMENTS = "--ros-args"


def _scale(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.01 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"expected 0.01 to 1, got {text[:40]}")
    return value


def add_motion_options(parser: argparse.ArgumentParser, output: Path) -> None:
    """Add --config, --simulate, --velocity-scale, --namespace, --output and --yes.

    Args:
        parser: gets them.
        output: default folder of the logs.
    """
    parser.add_argument(
        "--config", type=Path, metavar="FILE",
        help="parameter file with the robot's contract; default: that of the simulated robot",
    )  # fmt: skip
    parser.add_argument("--simulate", action="store_true", help="start the simulated robot, and move it")
    parser.add_argument(
        "--velocity-scale", type=_scale, default=1.0, metavar="X",
        help="fraction of the velocity limits and of the motion's speed; default: %(default)g",
    )  # fmt: skip
    parser.add_argument(
        "--namespace", type=ros_name, default="/", help="of the robot's nodes; default: %(default)s"
    )
    parser.add_argument(
        "--output", type=Path, default=output, metavar="FOLDER",
        help="for the nodes' logs; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--yes", action="store_true", help="do not ask before the arms move; somebody is at the e-stop"
    )


def parse_motion_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Read the command line; what follows --ros-args is for the nodes, in `ros_arguments`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    at = given.index(_ROS_ARGUMENTS) if _ROS_ARGUMENTS in given else len(given)
    options = parser.parse_args(given[:at])
    further = given[at + 1 :]
    if renamed := next((each for each in further if each.startswith(("__node:=", "__name:="))), ""):
        parser.error(f"{_ROS_ARGUMENTS}: {renamed}: the program starts several nodes, which keep their names")
    namespace = [] if options.namespace == "/" else ["-r", f"__ns:=/{options.namespace.strip('/')}"]
    options.ros_arguments = (*namespace, *further)
    return options


def confirmed() -> bool:
    """Whether the user agrees that the arms move."""
    print(
        f"The arms will move. Stand at the e-stop, then type {_CONFIRMATION!r} to begin: ", end="", flush=True
    )
    return sys.stdin.readline().strip() == _CONFIRMATION
