# SPDX-License-Identifier: Apache-2.0
"""The options by which commands vary how the simulated scene looks."""

import argparse
from collections.abc import Callable

from dit_policy_ros.sim.robot import Variation


def add_variation_options(parser: argparse.ArgumentParser) -> None:
    """Add --camera-jitter and --lighting."""
    parser.add_argument(
        "--camera-jitter", type=_number(0.1, "m"), default=0.0, metavar="METRES",
        help="displace each camera by up to this in every scene, and turn it by 2 rad per metre of it; "
        "default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--lighting", type=_number(1.0, "of the light"), default=0.0, metavar="SHARE",
        help="make each light brighter or darker by up to this share in every scene; default: %(default)s",
    )  # fmt: skip


def variation(options: argparse.Namespace) -> Variation:
    """What was asked for."""
    return Variation(options.camera_jitter, options.lighting)


def sim_parameters(options: argparse.Namespace) -> dict[str, str]:
    """The same, as parameters of sim_node."""
    return {"camera_jitter": str(options.camera_jitter), "lighting": str(options.lighting)}


def _number(most: float, unit: str) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not 0.0 <= value <= most:
            raise argparse.ArgumentTypeError(f"expected 0 to {most:g} {unit}, got {text}")
        return value

    return number
