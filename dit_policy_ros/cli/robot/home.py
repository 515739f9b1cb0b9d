# SPDX-License-Identifier: Apache-2.0
"""`dit_policy home`: move the arms slowly to the contract's rest pose.

If a policy node runs, it does so itself (~/home), and stays there until ~/resume. Otherwise this program
starts one that knows nothing but the way home. Both keep the contract's limits, the checks before motion, the
e-stop and all other holds. No other node may command the arms.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from dit_policy_ros.cli.common import USAGE_ERROR, CommandParser, ros_name
from dit_policy_ros.cli.robot._motion_options import add_motion_options, confirmed, parse_motion_options
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.share import share_directory

EXAMPLE = """\
examples:
  dit_policy home --config robot.yaml
  dit_policy home --namespace /cell_1      by the policy node that runs there
  dit_policy home --simulate               in the simulator

Stand at the e-stop. Exit code: 0 there, 1 refused or held, 2 wrong options or not confirmed.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("home", __doc__, EXAMPLE)
    add_motion_options(parser, Path("out/home"))
    parser.add_argument(
        "--policy", type=ros_name, default="policy",
        help="name of the policy node, if one runs; default: %(default)s",
    )  # fmt: skip
    return parse_motion_options(parser, arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Send the arms home; returns the exit code."""
    options = parse(arguments)
    # Imported here: help must come at once.
    from dit_policy_ros.evaluation.playing import PlaySettings, home_episode, home_running_node, play
    from dit_policy_ros.ros.survey import read_contract_file

    def may_move() -> bool:
        return options.simulate or options.yes or confirmed()

    config = (options.config or share_directory() / "config" / "bimanual.yaml").expanduser()
    took: float | None = None
    try:
        if not options.simulate:
            took = home_running_node(options.policy, options.ros_arguments, print, may_move)
        if took is None:
            episode = home_episode(read_contract_file(config).contract)
            took = float("nan")
            if may_move():
                options.output.mkdir(parents=True, exist_ok=True)
                settings = PlaySettings(
                    config, options.velocity_scale, options.simulate, options.ros_arguments
                )
                took = play(episode, settings, options.output.absolute(), print)
    except DitPolicyError as error:
        print(f"dit_policy home: {error}", file=sys.stderr)
        return 1
    if math.isnan(took):
        print("dit_policy home: not confirmed, nothing was moved", file=sys.stderr)
        return USAGE_ERROR
    print(f"at the rest pose after {took:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
