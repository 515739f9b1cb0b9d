# SPDX-License-Identifier: Apache-2.0
"""`dit_policy doctor`: check a computer and a robot on one page, each finding with its remedy.

ROS, its middleware and profile; the domain and who else is in it; clocks; cameras with rates, losses and
encodings measured; joint states; controllers and their parameters; the pose; GPU, disk; a dataset and a
checkpoint against the contract. It applies the policy node's own checks. It only listens: nothing is
published, nothing moves.
"""

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dit_policy_ros.cli.common import (
    CommandParser,
    add_json_option,
    print_json,
)
from dit_policy_ros.cli.robot._survey_options import add_survey_options
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.doctor import DoctorSettings, Finding, Level, examine

EXAMPLE = """\
examples:
  dit_policy doctor                                    this computer and the ROS domain
  dit_policy doctor my_robot.yaml                      and the robot that the contract describes
  dit_policy doctor my_robot.yaml --dataset ~/datasets/pick --checkpoint out/pick
  dit_policy doctor my_robot.yaml --json               for programs

Exit code: 0 nothing to do, 1 there are warnings or problems, 2 wrong options.
"""
_STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}
_WIDTH = 20  # of the name of a check


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("doctor", __doc__, EXAMPLE)
    parser.add_argument("config", type=Path, nargs="?", help="parameter file with the robot's contract")
    parser.add_argument("--dataset", type=Path, metavar="FOLDER", help="that episodes are recorded to")
    parser.add_argument(
        "--checkpoint", default="", metavar="FOLDER",
        help="of the policy; default: that of the parameter file",
    )  # fmt: skip
    add_survey_options(parser)
    add_json_option(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check everything; returns the exit code."""
    options = parse(arguments)
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    settings = DoctorSettings(
        config=None if options.config is None else options.config.expanduser(),
        dataset=None if options.dataset is None else options.dataset.expanduser(),
        checkpoint=options.checkpoint,
        namespace=options.namespace,
        use_sim_time=options.use_sim_time,
        seconds=options.seconds,
        discovery_time=options.discovery_time,
    )
    console = Console(highlight=False, soft_wrap=True)
    found: list[Finding] = []
    try:
        for finding in examine(settings, lambda text: messages.print(f"checking {text}", style="dim")):
            found.append(finding)
            if not options.json:
                console.print(line(finding))
    except DitPolicyError as error:
        print(f"dit_policy doctor: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    counts = Counter(finding.level for finding in found)
    if options.json:
        listed = [dataclasses.asdict(finding) for finding in found]
        summary = {level.value: counts[level] for level in Level}
        print_json({"findings": listed, "counts": summary})
    else:
        console.print(f"{counts[Level.PROBLEM]} problems, {counts[Level.WARNING]} warnings", style="bold")
    return 1 if any(finding.is_bad for finding in found) else 0


def line(finding: Finding) -> Text:
    """A finding for people: its level, what was checked, what was found and what to do."""
    text = Text(f"{finding.level.value:<8}", style=_STYLES[finding.level])
    text.append(f"{finding.check:<{_WIDTH}} ", style="bold")
    text.append(finding.text, style="")
    if finding.remedy:
        text.append(f"\n{'':<8}{'':<{_WIDTH}} -> {finding.remedy}", style="italic")
    return text


if __name__ == "__main__":
    sys.exit(main())
