# SPDX-License-Identifier: Apache-2.0
"""The options of the commands that look at a running robot."""

import argparse

from dit_policy_ros.cli.common import number_between, ros_name


def add_survey_options(parser: argparse.ArgumentParser) -> None:
    """Add --namespace, --use-sim-time, --seconds and --discovery-time."""
    parser.add_argument("--namespace", type=ros_name, default="/", help="of the robot; default: %(default)s")
    parser.add_argument("--use-sim-time", action="store_true", help="the robot's time is simulated (/clock)")
    parser.add_argument(
        "--seconds", type=number_between(0.1, 600.0, "s"), default=5.0, metavar="S",
        help="how long rates are measured; default: %(default)g",
    )  # fmt: skip
    parser.add_argument(
        "--discovery-time", type=number_between(0.1, 600.0, "s"), default=4.0, metavar="S",
        help="how long to wait for other nodes to be discovered; default: %(default)g",
    )  # fmt: skip
