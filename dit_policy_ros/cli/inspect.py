# SPDX-License-Identifier: Apache-2.0
"""`dit_policy inspect`: a dataset's episodes, verdicts, tasks and a picture; removes and recovers episodes.

Episodes that were recorded with dit_policy carry a verdict; frames that repeat an old sample are flagged and
left out of training. Removing uses LeRobot's own function and keeps the flags where they belong; the dataset
as it was stays beside the new one.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dit_policy_ros.core.errors import DatasetError, DitPolicyError

EXAMPLE = """\
examples:
  dit_policy inspect data/pick
  dit_policy inspect data/pick --picture pick.png --episodes 0-5,12
  dit_policy inspect data/pick --delete 3,7-9      (or --delete-failed)
  dit_policy inspect data/pick --recover keep      (what a crash left, without starting the recorder)

Exit code: 0, or 2 with the reason.
"""
_MOST_DRAWN = 12  # episodes in a picture unless asked for


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy inspect",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", type=Path, help="folder of a LeRobotDataset v3")
    parser.add_argument("--episodes", help="only these, as 0-5,12")
    parser.add_argument(
        "--picture", type=Path, help="draw joints, flags and images into this PNG, PDF or SVG file"
    )
    parser.add_argument("--json", type=Path, help="write the table into this file too")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--delete", metavar="EPISODES", help="remove these episodes, as 3,7-9")
    action.add_argument(
        "--delete-failed", action="store_true", help="remove all episodes whose verdict failed"
    )
    action.add_argument("--recover", choices=("keep", "discard"), help="add what a crash left, or remove it")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    console = Console()
    try:
        run(options, console)
    except DitPolicyError as error:
        print(f"dit_policy inspect: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Does what the options say; raises DitPolicyError."""
    from dit_policy_ros.data.dataset import episode_rows, plot_episodes
    from dit_policy_ros.data.recording import remove_episodes

    root: Path = options.dataset
    if options.recover:
        from dit_policy_ros.data.recording import recover_offline

        console.print(f"episodes recovered: {recover_offline(root, keep=options.recover == 'keep')}")
    rows = episode_rows(root)
    remove = numbers(options.delete) if options.delete else []
    if options.delete_failed:
        remove = [row.index for row in rows if row.record is not None and not row.record.passed]
        if not remove:
            console.print("no episode failed its check")
    if remove:
        before = remove_episodes(root, remove)
        console.print(f"removed {len(remove)} of {len(rows)} episodes; the dataset as it was is in {before}")
        rows = episode_rows(root)
    if options.episodes:
        chosen = set(numbers(options.episodes))
        rows = [row for row in rows if row.index in chosen]
        if not rows:
            raise DatasetError(f"dataset {root}: no episode of --episodes {options.episodes} exists")
    show(rows, console)
    if options.json:
        options.json.write_text(json.dumps([as_json(row) for row in rows], indent=1))
    if options.picture:
        drawn = rows if options.episodes else rows[:_MOST_DRAWN]
        plot_episodes(root, drawn, options.picture)
        console.print(f"{options.picture}: {len(drawn)} of {len(rows)} episodes")


def numbers(text: str) -> list[int]:
    """Reads "0-5,12". Raises DatasetError."""
    try:
        found: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise DatasetError(f"episodes: expected numbers and ranges like 0-5,12, got '{text}'") from error
    return found


def show(rows: Sequence, console: Console) -> None:
    """The table of episodes and that of tasks."""
    from dit_policy_ros.data.dataset import MIN_DEMONSTRATIONS, TARGET_DEMONSTRATIONS, task_counts

    table = Table("episode", "task", "frames", "s", "success", "check", "flagged", "why")
    for row in rows:
        record = row.record
        success = {None: "", True: "yes", False: "no"}[None if record is None else record.success]
        check = "" if record is None else "passed" if record.passed else "[red]FAILED[/]"
        flagged = "" if record is None else str(len(record.flagged()) or "")
        why = "" if record is None else "; ".join(record.reasons)
        table.add_row(
            str(row.index),
            "; ".join(row.tasks),
            str(row.frames),
            f"{row.seconds:.1f}",
            success,
            check,
            flagged,
            why,
        )
    console.print(table)
    tasks = Table("task", "episodes that passed", f"of {TARGET_DEMONSTRATIONS}")
    for task, count in task_counts(rows).items():
        note = f"{count / TARGET_DEMONSTRATIONS:.0%}"
        if count < MIN_DEMONSTRATIONS:
            note = f"[yellow]fewer than {MIN_DEMONSTRATIONS}: too few to learn from[/]"
        tasks.add_row(task, str(count), note)
    console.print(tasks)


def as_json(row) -> dict:
    """A row for other programs."""
    record = None if row.record is None else json.loads(row.record.to_json())
    return {
        "episode_index": row.index,
        "tasks": row.tasks,
        "frames": row.frames,
        "seconds": row.seconds,
        "record": record,
    }


if __name__ == "__main__":
    sys.exit(main())
