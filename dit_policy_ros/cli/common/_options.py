# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dit_policy_ros.cli.renamed_options import refuse_renamed_options
from dit_policy_ros.core.share import default_checkpoint

if TYPE_CHECKING:
    from dit_policy_ros.sim.robot import Variation


_HIGHEST_DOMAIN = 232  # of DDS; the ports of a higher one would not exist


def add_checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """Add --checkpoint, by default the one that ships with the package."""
    parser.add_argument(
        "--checkpoint", type=Path, default=default_checkpoint(), metavar="FOLDER",
        help="of the policy; default: the shipped one",
    )  # fmt: skip


def add_device_option(parser: argparse.ArgumentParser, default: str = "auto") -> None:
    """Add --device."""
    parser.add_argument("--device", default=default, help="auto, cpu, cuda or cuda:N; default: %(default)s")


def add_domain_option(parser: argparse.ArgumentParser) -> None:
    """Add --domain; by default the nodes get a ROS domain of their own."""
    parser.add_argument(
        "--domain", type=_ros_domain, metavar="N",
        help="join this ROS domain, for example to look at the topics from another terminal with "
        "ROS_DOMAIN_ID=N; refused if a robot is there. Default: a domain that nobody uses, seen on this "
        "machine only, whatever ROS_DOMAIN_ID is",
    )  # fmt: skip


def _ros_domain(text: str) -> int:
    if not (text.isdecimal() and int(text) <= _HIGHEST_DOMAIN):
        raise argparse.ArgumentTypeError(f"expected 0 to {_HIGHEST_DOMAIN}, got {text}")
    return int(text)


def add_task_option(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --task, which may be repeated, as ``tasks``; refuse --tasks. default: described in the help."""
    parser.add_argument(
        "--task", action="append", dest="tasks", default=[], metavar="TEXT",
        help=f"an instruction; repeat it for several; default: {default}",
    )  # fmt: skip
    refuse_renamed_options(parser, {"--tasks": "--task TEXT, once for each task"})


def add_variation_options(parser: argparse.ArgumentParser) -> None:
    """Add --camera-jitter and --lighting."""
    parser.add_argument(
        "--camera-jitter", type=_number_up_to(0.1, "m"), default=0.0, metavar="METRES",
        help="move each camera by up to this in every scene, and turn it by 2 rad per metre of it; "
        "default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--lighting", type=_number_up_to(1.0, "of the light"), default=0.0, metavar="SHARE",
        help="make each light brighter or darker by up to this share in every scene; default: %(default)s",
    )  # fmt: skip


def read_variation(options: argparse.Namespace) -> "Variation":
    """How much scenes vary, from the options that ``add_variation_options`` has added."""
    from dit_policy_ros.sim.robot import Variation

    return Variation(options.camera_jitter, options.lighting)


def _number_up_to(largest: float, unit: str) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not 0.0 <= value <= largest:
            raise argparse.ArgumentTypeError(f"expected 0 to {largest:g} {unit}, got {text}")
        return value

    return number
