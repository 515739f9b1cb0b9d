# SPDX-License-Identifier: Apache-2.0
"""The card of a dataset: what was recorded, how often each task, how good, and how to use it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset import SIDE_TABLE, episode_rows
from dit_policy_ros.data.description import check_readable
from dit_policy_ros.data.hub._repository import card_table

# The fields by which the hub's viewer and LeRobot find datasets of this format.
_TAGS = ["LeRobot", "robotics", "dit_policy_ros"]
_CONFIGS = [{"config_name": "default", "data_files": "data/*/*.parquet"}]


def dataset_card(root: Path, name: str) -> str:
    """The content of README.md for a dataset on the hub.

    Args:
        root: the dataset's folder.
        name: of the repository, ``owner/name``.

    Raises:
        DatasetError: the dataset cannot be read.
    """
    info, rows = check_readable(root), episode_rows(root)
    data = DatasetCardData(task_categories=["robotics"], tags=_TAGS, configs=_CONFIGS)  # pyright: ignore[reportArgumentType]  # LeRobot's
    hours = sum(row.seconds for row in rows) / 3600.0  # [h]
    parts = [
        f"# {name.partition('/')[2]}",
        f"Demonstrations of a robot, as a LeRobotDataset {info['codebase_version']}: {len(rows)} episodes, "
        f"{info['total_frames']} frames, {hours:.2f} h at {info['fps']:g} Hz.",
        "## Tasks",
        _tasks(rows),
        "## Robot",
        _robot(info),
        "## How it was recorded",
        _quality(rows),
        "## How to use it",
        _usage(name),
        "## The format",
        f"`meta/info.json`:\n\n```json\n{json.dumps(info, indent=2)}\n```",
    ]
    return str(DatasetCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"))


def _tasks(rows: Sequence[Any]) -> str:
    names = dict.fromkeys(task for row in rows for task in row.tasks)
    table = []
    for task in names:
        mine = [row for row in rows if task in row.tasks]
        failed = sum(row.record is not None and row.record.success is False for row in mine)
        bad = sum(row.record is not None and not row.record.passed for row in mine)
        table.append((task, len(mine), failed, bad, sum(row.frames for row in mine)))
    return card_table(
        ("instruction", "episodes", "of them labelled failure", "failed the check", "frames"), table
    )


def _robot(info: Mapping[str, Any]) -> str:
    table = [("type", info.get("robot_type") or "not stated")]
    for key, feature in info["features"].items():
        if key.startswith(IMAGE_PREFIX):
            size = "x".join(map(str, feature["shape"]))
            table.append((f"camera {key.removeprefix(IMAGE_PREFIX)}", f"{feature['dtype']}, {size}"))
        elif key in (STATE_KEY, ACTION_KEY) or key.startswith("observation."):
            names = feature.get("names")
            entries = ", ".join(map(str, names)) if isinstance(names, list) else json.dumps(names)
            table.append((key, f"{'x'.join(map(str, feature['shape']))}: {entries}"))
    return card_table(("", ""), table)


def _quality(rows: Sequence[Any]) -> str:
    if all(row.record is None for row in rows):
        return "By a program other than dit_policy_ros: labels and checks are not known."
    flagged = sum(len(row.record.flagged()) for row in rows if row.record is not None)
    recovered = sum(row.record is not None and row.record.recovered for row in rows)
    return (
        f"`{SIDE_TABLE}` has a line per episode: the operator's label, the result of the recorder's check, "
        f"and the frames in which a stream repeats an old sample ({flagged} frames here). {recovered} "
        "episodes were recovered after an interruption. `dit_policy train` leaves out failures and what "
        "failed its check."
    )


def _usage(name: str) -> str:
    return (
        "With dit_policy_ros:\n\n"
        f"    hf download {name} --repo-type dataset --local-dir data\n"
        "    dit_policy inspect data\n"
        "    dit_policy train --dataset data --output out\n\n"
        f'With LeRobot: `LeRobotDataset("{name}")`.'
    )
