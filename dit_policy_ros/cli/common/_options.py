# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dit_policy_ros.cli.common._completion import set_completer
from dit_policy_ros.cli.common._renamed_options import refuse_renamed_options
from dit_policy_ros.core.share import default_checkpoint

if TYPE_CHECKING:
    from dit_policy_ros.evaluation.workers import Workers
    from dit_policy_ros.sim.robot import Variation


_ROS_NAME = re.compile(r"/|/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*/?", re.ASCII)
_LONGEST_NAME = 100  # characters; two of them and a topic have to fit into 247
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
    task = parser.add_argument(
        "--task", action="append", dest="tasks", default=[], metavar="TEXT",
        help=f"an instruction; repeat it for several; default: {default}",
    )  # fmt: skip
    set_completer(task, _simulated_tasks)
    refuse_renamed_options(parser, {"--tasks": "--task TEXT, once for each task"})


def _simulated_tasks() -> list[str]:
    from dit_policy_ros.sim.tasks import suite

    return [task.instruction for task in suite()]


def add_variation_options(parser: argparse.ArgumentParser) -> None:
    """Add --camera-jitter and --lighting."""
    parser.add_argument(
        "--camera-jitter", type=number_between(0.0, 0.1, "m"), default=0.0, metavar="METRES",
        help="move each camera by up to this in every scene, and turn it by 2 rad per metre of it; "
        "default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--lighting", type=number_between(0.0, 1.0, "of the light"), default=0.0, metavar="SHARE",
        help="make each light brighter or darker by up to this share in every scene; default: %(default)s",
    )  # fmt: skip


def read_variation(options: argparse.Namespace) -> "Variation":
    """How much scenes vary, from the options that ``add_variation_options`` has added."""
    from dit_policy_ros.sim.robot import Variation

    return Variation(options.camera_jitter, options.lighting)


def add_worker_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --workers, --ray and --cpus-per-worker; ``what`` they do at the same time, in the plural."""
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N",
        help=f"processes on this machine that run {what} at the same time; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--ray", default="", metavar="ADDRESS",
        help=f"run {what} on a Ray cluster, for example auto or HOST:6379; needs `pip install .[scale]` "
        "(docs/scale.md)",
    )  # fmt: skip
    parser.add_argument(
        "--cpus-per-worker", type=float, default=1.0, metavar="N",
        help="cores that each takes on the cluster; default: %(default)s",
    )  # fmt: skip


def read_workers(options: argparse.Namespace, gpus: float = 0.0) -> "Workers":
    """Where the work runs, from the options that ``add_worker_options`` has added. Raises WorkersError."""
    from dit_policy_ros.evaluation.workers import Workers

    return Workers(options.workers, options.ray, options.cpus_per_worker, gpus)


def whole_number(lowest: int, highest: int = 2**31 - 1) -> Callable[[str], int]:
    """A whole number in a range, for argparse: a seed, for example, cannot be negative."""

    def number(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
            raise argparse.ArgumentTypeError(f"expected a whole number, got {text[:40]}")
        if int(text) < lowest:
            raise argparse.ArgumentTypeError(f"expected at least {lowest}, got {text}")
        if int(text) > highest:
            raise argparse.ArgumentTypeError(f"expected at most {highest}, got {text}")
        return int(text)

    return number


def ros_name(text: str) -> str:
    """A name or namespace of ROS, for argparse; rclpy refuses others with a traceback."""
    if not _ROS_NAME.fullmatch(text) or len(text) > _LONGEST_NAME:
        raise argparse.ArgumentTypeError(
            f"expected a name of ROS like /left_cell/policy (letters, digits and _, "
            f"at most {_LONGEST_NAME}), got {text[:80]!r}"
        )
    return text


def number_between(low: float, high: float, unit: str) -> Callable[[str], float]:
    """Reads a number of this range for argparse; nan and inf are none."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low:g} to {high:g} {unit}, got {text[:40]}")
        return value

    return number
