# SPDX-License-Identifier: Apache-2.0
"""`dit_policy calibrate`: measure the latencies of arms and cameras, without extra hardware.

Each arm wiggles gently about where it is. What was commanded, the joint states and the motion in the images
are compared: how far the joint states lag behind the commands is the arm's latency, how far the images lag
behind the joint states is the camera's. Both are written into the contract with their uncertainty. What
cannot be trusted is refused and not written.

The motion goes through a policy node that this program starts, so the contract's limits, its checks before
motion, the e-stop (/calibration/e_stop) and all other holds apply. No other node may command the arms.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dit_policy_ros.cli.common import USAGE_ERROR, CommandParser, number_between, ros_name
from dit_policy_ros.core.calibration import WiggleSettings
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.calibration import (
    CalibrationSettings,
    Latencies,
    calibrate,
    evaluate,
    planned_motions,
    plot_measurement,
    write_latencies,
)
from dit_policy_ros.ros.survey import read_contract_file

EXAMPLE = """\
examples:
  dit_policy calibrate robot.yaml                     all arms and cameras
  dit_policy calibrate robot.yaml --controller left_arm_controller --camera top
  dit_policy calibrate robot.yaml --dry-run           measure and plot, but do not write

Stand at the e-stop, and keep 20 cm around the arms free. A camera must see an arm move, and nothing else.

Exit code: 0 everything was measured, 1 something was not, 2 wrong options or not confirmed.
"""
_DEFAULTS = WiggleSettings()
_CONFIRMATION = "move"
_LONGEST, _SHORTEST = 60.0, 8.0  # [s]
_LARGEST = 0.2  # [rad]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("calibrate", __doc__, EXAMPLE)
    parser.add_argument("config", type=Path, help="parameter file with the robot's contract")
    parser.add_argument(
        "--controller", action="append", default=[], metavar="NAME",
        help="move this arm; repeat it for several; default: all controllers of arms",
    )  # fmt: skip
    parser.add_argument(
        "--camera", action="append", default=[], metavar="NAME",
        help="measure this camera; repeat it for several; default: all of the contract",
    )  # fmt: skip
    parser.add_argument(
        "--amplitude", type=number_between(0.005, _LARGEST, "rad"),
        default=_DEFAULTS.amplitude, metavar="RAD",
        help="how far each joint moves to both sides; less near a limit; default: %(default)g",
    )  # fmt: skip
    parser.add_argument(
        "--amplitude-prismatic", type=number_between(0.001, 0.05, "m"), metavar="M",
        default=_DEFAULTS.amplitude_prismatic,
        help="the same for joints that slide; default: %(default)g",
    )  # fmt: skip
    parser.add_argument(
        "--duration", type=number_between(_SHORTEST, _LONGEST, "s"), default=_DEFAULTS.duration, metavar="S",
        help="of an arm's motion; default: %(default)g",
    )  # fmt: skip
    parser.add_argument("--namespace", type=ros_name, default="/", help="of the robot; default: %(default)s")
    parser.add_argument("--use-sim-time", action="store_true", help="the robot's time is simulated (/clock)")
    parser.add_argument(
        "--output", type=Path, default=Path("out/calibrate"), metavar="FOLDER",
        help="for the plot and the policy node's log; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="do not write into the contract")
    parser.add_argument(
        "--yes", action="store_true", help="do not ask before the arms move; somebody is at the e-stop"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Calibrate; returns the exit code."""
    options = parse(arguments)
    console = Console(highlight=False, soft_wrap=True)
    settings = CalibrationSettings(
        config=options.config.expanduser(),
        controllers=tuple(options.controller),
        cameras=tuple(options.camera),
        motion=WiggleSettings(options.amplitude, options.amplitude_prismatic, options.duration),
        namespace=options.namespace,
        use_sim_time=options.use_sim_time,
    )
    try:
        contract = read_contract_file(settings.config).contract
        unknown = [name for name in settings.cameras if name not in contract.camera_names]
        if unknown:
            print(f"dit_policy calibrate: no camera {', '.join(unknown)} in the contract", file=sys.stderr)
            return USAGE_ERROR
        for line in planned_motions(contract, settings):
            console.print(line, markup=False)
        if not options.yes and not confirmed(console):
            print("dit_policy calibrate: not confirmed, nothing was moved", file=sys.stderr)
            return USAGE_ERROR
        options.output.mkdir(parents=True, exist_ok=True)
        measurements = calibrate(
            contract, settings, options.output, lambda text: console.print(text, markup=False)
        )
        latencies = evaluate(measurements)
        picture = options.output / "calibration.png"
        plot_measurement(measurements, latencies, picture)
        console.print(table(latencies))
        console.print(f"plot: {picture}", markup=False)
        if not options.dry_run and (latencies.controllers or latencies.cameras):
            write_latencies(settings.config.resolve(), latencies)
            console.print(f"written into {settings.config}", markup=False)
            if latencies.controllers:
                console.print("The policy node now asks for its parameter actions_are", markup=False)
    except DitPolicyError as error:
        print(f"dit_policy calibrate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dit_policy calibrate: interrupted; the arms hold", file=sys.stderr)
        return 130
    for name, reason in latencies.refused.items():
        print(f"dit_policy calibrate: {name} is not written: {reason}", file=sys.stderr)
    return 1 if latencies.refused else 0


def confirmed(console: Console) -> bool:
    """Ask the operator."""
    console.print(
        "Is the space around the arms free, does nothing else command them, and are you at the e-stop?\n"
        f"Type {_CONFIRMATION} to go on: ",
        end="",
    )
    try:
        return input().strip() == _CONFIRMATION
    except EOFError:
        return False


def table(latencies: Latencies) -> Table:
    """The results."""
    made = Table("", "latency [ms]", "± [ms]", "correlation", "measured with")
    for name, lag in {**latencies.controllers, **latencies.cameras}.items():
        figures = (f"{lag.seconds * 1e3:.1f}", f"{lag.uncertainty * 1e3:.1f}", f"{lag.correlation:.3f}")
        made.add_row(name, *figures, latencies.seen_by.get(name, "its commands"))
    for name in latencies.refused:
        made.add_row(name, "refused", "", "", "")
    return made


if __name__ == "__main__":
    sys.exit(main())
