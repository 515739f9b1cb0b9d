# SPDX-License-Identifier: Apache-2.0
"""`dit_policy view`: look at an episode of a dataset, or at an incident, in Rerun.

Shows cameras, states, actions, instruction, the recorder's check, repeated samples, and who drove if the
dataset says it. Of an incident it shows the cameras, and for each joint what was commanded, measured and
predicted, with its limits. Rerun is LeRobot's viewer and optional: pip install ".[view]".
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dit_policy_ros.cli.common import CommandParser, progress_bar, whole_number
from dit_policy_ros.core.errors import DitPolicyError

EXAMPLE = """\
examples:
  dit_policy view data/pick --episode 3
  dit_policy view data/pick --episode 3 --output pick_3.rrd     a file, for `rerun pick_3.rrd`
  dit_policy view ~/.ros/dit_policy_incidents/incident_20261125_231502_481516_e-stop

Exit code: 0, or 1 with the reason, or 2 for wrong options.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("view", __doc__, EXAMPLE)
    parser.add_argument(
        "folder", type=Path, metavar="DATASET|INCIDENT", help="folder of a dataset or incident, or a hub id"
    )
    parser.add_argument(
        "--episode", type=whole_number(0), default=0, metavar="N", help="of the dataset; default: %(default)s"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write this .rrd file; default: start the viewer"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Show it; returns the exit code."""
    options = parse(arguments)
    try:
        run(options, Console(highlight=False, soft_wrap=True))
    except DitPolicyError as error:
        print(f"dit_policy view: {error}", file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Show it; raises DitPolicyError."""
    from dit_policy_ros.evaluation.view import log_episode, log_incident, open_recording

    folder = options.folder.expanduser()
    if (folder / "incident.json").is_file():
        from dit_policy_ros.data.incident_folder import read_incident

        stored = read_incident(folder)
        recording = open_recording(folder.name, options.output)
        log_incident(recording, stored)
    else:
        from dit_policy_ros.data.dataset import read_episode
        from dit_policy_ros.data.description import find_dataset

        root = find_dataset(options.folder)
        episode = read_episode(root, options.episode)
        recording = open_recording(f"{root.name}, episode {options.episode}", options.output)
        with progress_bar(console) as bar:
            line = bar.add_task("frames", total=episode.row.frames, note="")
            log_episode(recording, episode, lambda done: bar.update(line, completed=done))
    recording.close()
    if options.output:
        console.print(f"written to {options.output}; look at it with: rerun {options.output}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
