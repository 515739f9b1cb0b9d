# SPDX-License-Identifier: Apache-2.0
"""How the entries of other people's datasets are called, and in which unit they count."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dit_policy_ros.core.contract._linear_entry import read_entry
from dit_policy_ros.core.problems import Problems

EXPECTED = "'DATASET_NAME = JOINT', 'DATASET_NAME = JOINT * SCALE' or 'DATASET_NAME = JOINT * SCALE + OFFSET'"


@dataclass(frozen=True, slots=True)
class DatasetName:
    """An entry of a dataset's state or action: `entry = joint * scale + offset`.

    scale: not 0. offset: in the dataset's unit; the joint is in rad or m.
    """

    name: str
    joint: str
    scale: float = 1.0
    offset: float = 0.0


def parse_dataset_names(
    entries: Sequence[str], joints: Sequence[str], key: str, problems: Problems
) -> tuple[DatasetName, ...]:
    """Parses entries such as "left_waist.pos = left_waist * 57.29578"; reports mistakes to ``problems``.

    Several entries of a state may come from one joint, as the two fingers of a gripper.
    """
    found: dict[str, DatasetName] = {}
    for text in entries:
        if not text.strip():
            continue
        entry = read_entry(text)
        if entry is None or not (math.isfinite(entry.factor) and math.isfinite(entry.offset)):
            problems.add(key, EXPECTED, f"'{text}'")
        elif entry.source not in joints:
            problems.add_unknown(key, entry.source, joints)
        elif entry.target in found:
            problems.add(key, "each name of the dataset once", f"'{entry.target}' again")
        elif entry.factor == 0.0:
            problems.add(key, "a scale that is not 0", f"'{text}'")
        else:
            found[entry.target] = DatasetName(entry.target, entry.source, entry.factor, entry.offset)
    return tuple(found.values())
