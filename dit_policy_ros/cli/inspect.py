# SPDX-License-Identifier: Apache-2.0
"""`dit_policy inspect`: a dataset's episodes, checks, tasks and a picture; removes and recovers episodes.

Episodes recorded with dit_policy have the result of the recorder's check. Frames that repeat an old sample
are flagged and left out of training. Removing uses LeRobot's own function and keeps the flags at their
frames; the unchanged dataset is kept beside the new one.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dit_policy_ros.cli.common import CommandParser, print_json
from dit_policy_ros.core.errors import DatasetError, DitPolicyError

EXAMPLE = """\
examples:
  dit_policy inspect data/pick                     (or --dataset data/pick)
  dit_policy inspect data/pick --picture pick.png --episodes 0-5,12
  dit_policy inspect data/pick --json | jq ".[].frames"
  dit_policy inspect data/pick --delete 3,7-9      (or --delete-failed)
  dit_policy inspect data/pick --recover keep      (what a crash left, without starting the recorder)
  dit_policy inspect data/pick --quarantine retry  (what could not be added to the dataset)

Exit code: 0, or 1 with the reason, or 2 for wrong options.
"""
STDOUT = Path("-")
_MAX_DRAWN = 12  # episodes in a picture, without --episodes


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("inspect", __doc__, EXAMPLE)
    parser.add_argument(
        "folder", type=Path, nargs="?", metavar="DATASET", help="folder of a LeRobotDataset v3, or its hub id"
    )
    parser.add_argument("--dataset", type=Path, metavar="DATASET", help="the same as an option")
    parser.add_argument("--episodes", help="only these, as 0-5,12")
    parser.add_argument(
        "--picture", type=Path, help="plot_episodes joints, flags and images into this PNG, PDF or SVG file"
    )
    parser.add_argument(
        "--json", nargs="?", const=STDOUT, type=Path, metavar="FILE",
        help="the table as JSON into this file; without FILE on standard output, the rest on standard error",
    )  # fmt: skip
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--delete", metavar="EPISODES", help="remove these episodes, as 3,7-9")
    action.add_argument(
        "--delete-failed", action="store_true", help="remove all episodes that failed the check"
    )
    parser.add_argument(
        "--success", metavar="EPISODES", help="label these episodes as done, as 3,7-9; before --delete"
    )
    parser.add_argument("--failure", metavar="EPISODES", help="label these episodes as not done")
    action.add_argument("--recover", choices=("keep", "discard"), help="add what a crash left, or remove it")
    action.add_argument(
        "--quarantine",
        choices=("retry", "delete"),
        help="add the episodes in quarantine after all (after an update or a repair), or delete them",
    )
    options = parser.parse_args(arguments)
    if (options.folder is None) == (options.dataset is None):
        hint = ". Write --json after DATASET" if options.json else ""
        parser.error(f"expected one dataset: DATASET, or --dataset DATASET{hint}")
    options.dataset = options.dataset or options.folder
    return options


def read_labels(success: str | None, failure: str | None) -> dict[int, bool]:
    """The label of each named episode. Raises DatasetError if one is named twice."""
    from dit_policy_ros.evaluation.inspection import parse_episode_numbers

    labels: dict[int, bool] = {}
    for text, label in ((success, True), (failure, False)):
        for number in parse_episode_numbers(text) if text else ():
            if labels.setdefault(number, label) != label:
                raise DatasetError(f"episode {number}: both --success and --failure; give it one label")
    return labels


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        run(options, Console(stderr=options.json == STDOUT))
    except DitPolicyError as error:
        print(f"dit_policy inspect: {error}", file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Do what the options ask for; raises DitPolicyError."""
    from dit_policy_ros.data.dataset import episode_rows, plot_episodes, record_notices
    from dit_policy_ros.data.description import describe_dataset, find_dataset
    from dit_policy_ros.data.recording import (
        QuarantineAction,
        recover_offline,
        relabel_episodes,
        remove_episodes,
        resolve_quarantine,
    )
    from dit_policy_ros.evaluation.inspection import (
        episode_table,
        episodes_as_json,
        journal_lines,
        parse_episode_numbers,
        task_table,
    )

    root = find_dataset(options.dataset)
    if options.recover:
        console.print(f"episodes recovered: {recover_offline(root, keep=options.recover == 'keep')}")
    if options.quarantine:
        action = QuarantineAction(options.quarantine)
        done = "added" if action is QuarantineAction.RETRY else "deleted"
        console.print(f"episodes {done} from quarantine: {resolve_quarantine(root, action)}")
    for line in journal_lines(root):
        console.print(line, soft_wrap=True, markup=False)
    rows = episode_rows(root)
    for notice in (*describe_dataset(root).notices(), *record_notices(root)):
        console.print(notice, markup=False, highlight=False, soft_wrap=True)
    labels = read_labels(options.success, options.failure)
    if labels:
        relabel_episodes(root, labels)
        console.print(f"labelled {len(labels)} of {len(rows)} episodes")
        rows = episode_rows(root)
    remove = parse_episode_numbers(options.delete) if options.delete else []
    if options.delete_failed:
        remove = [row.index for row in rows if row.record is not None and not row.record.passed]
        if not remove:
            console.print("no episode failed its check")
    if remove:
        before = remove_episodes(root, remove)
        console.print(f"removed {len(remove)} of {len(rows)} episodes; the unchanged dataset is in {before}")
        rows = episode_rows(root)
    if options.episodes:
        chosen = set(parse_episode_numbers(options.episodes))
        rows = [row for row in rows if row.index in chosen]
        if not rows:
            raise DatasetError(f"dataset {root}: no episode of --episodes {options.episodes} exists")
    if options.json == STDOUT:
        print_json(episodes_as_json(rows))
    else:
        console.print(episode_table(rows))
        console.print(task_table(rows))
    if options.json not in (None, STDOUT):
        options.json.write_text(json.dumps(episodes_as_json(rows), indent=1))
    if options.picture:
        drawn = rows if options.episodes else rows[:_MAX_DRAWN]
        plot_episodes(root, drawn, options.picture)
        console.print(f"{options.picture}: {len(drawn)} of {len(rows)} episodes")


if __name__ == "__main__":
    sys.exit(main())
