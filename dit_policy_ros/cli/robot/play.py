# SPDX-License-Identifier: Apache-2.0
"""`dit_policy play`: move the robot, or the simulated one, through a recorded episode.

The arms go slowly to the episode's first pose, then through its actions, in a policy node that this program
starts. So the contract's limits, the checks before motion, the e-stop (/policy/e_stop) and all other holds
apply. No other node may command the arms. An episode of other joints, another rate, or beyond the contract's
limits is refused before anything moves.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dit_policy_ros.cli.common import USAGE_ERROR, CommandParser
from dit_policy_ros.cli.robot._motion_options import add_motion_options, confirmed, parse_motion_options
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.share import share_directory

EXAMPLE = """\
examples:
  dit_policy play runs 3 --simulate                        episode 3, in the simulator
  dit_policy play runs 3 --config robot.yaml --velocity-scale 0.2
  dit_policy play runs 3 --config robot.yaml --check       compare it with the contract only
  dit_policy play runs 3 --config robot.yaml --namespace /cell_1 --ros-args -r joint_states:=states

Stand at the e-stop. Exit code: 0 played, 1 refused or held, 2 wrong options or not confirmed.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("play", __doc__, EXAMPLE)
    parser.add_argument("dataset", type=Path, help="folder of a LeRobotDataset")
    parser.add_argument("episode", type=int, help="its index, as `dit_policy inspect` lists it")
    parser.add_argument("--check", action="store_true", help="compare with the contract and move nothing")
    add_motion_options(parser, Path("out/play"))
    return parse_motion_options(parser, arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play an episode; returns the exit code."""
    options = parse(arguments)
    # Imported here: help must come at once.
    from dit_policy_ros.evaluation.playing import PlaySettings, checked_episode, play
    from dit_policy_ros.ros.survey import read_contract_file

    config = (options.config or share_directory() / "config" / "bimanual.yaml").expanduser()
    try:
        contract = read_contract_file(config).contract
        episode = checked_episode(options.dataset.expanduser().absolute(), options.episode, contract)
        seconds = len(episode.actions) / episode.fps
        print(f"episode {options.episode}: {episode.task!r}, {seconds:.1f} s; it fits {config}")
        if options.check:
            return 0
        if not (options.simulate or options.yes or confirmed()):
            print("dit_policy play: not confirmed, nothing was moved", file=sys.stderr)
            return USAGE_ERROR
        options.output.mkdir(parents=True, exist_ok=True)
        settings = PlaySettings(config, options.velocity_scale, options.simulate, options.ros_arguments)
        took = play(episode, settings, options.output.absolute(), print)
    except DitPolicyError as error:
        print(f"dit_policy play: {error}", file=sys.stderr)
        return 1
    print(f"played in {took:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
