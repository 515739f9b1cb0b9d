# SPDX-License-Identifier: Apache-2.0
"""The robots of a unified network: their slots, options and statistics, and the checkpoint that holds them.

A unified checkpoint has the files of an ordinary one, whose state and action are the slots, and

robots.json  robots.safetensors    of each robot: slots, options, facts, and statistics

Shapes: U slots, D state entries of a robot, A its action entries.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.config import (
    Feature,
    FeatureType,
    NormalizationMode,
    PolicyConfig,
    decode_dataclass,
    read_json,
)
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import Stats, TaskTokenizer
from dit_policy_ros.policy.unified._slots import SLOTS

ROBOTS_FILE = "robots.json"
_STATS_FILE = "robots.safetensors"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RobotLayout:
    """Where a robot's entries lie among the slots of a network.

    state, action: the slot numbers of its entries, in their order, (D,) and (A,).
    """

    state: tuple[int, ...]
    action: tuple[int, ...]

    @classmethod
    def of(cls, state: Sequence[str], action: Sequence[str], slots: Sequence[str]) -> "RobotLayout":
        """The layout of entries with these slots, in a network with ``slots``."""
        places = {slot: number for number, slot in enumerate(slots)}
        return cls(tuple(places[slot] for slot in state), tuple(places[slot] for slot in action))


@dataclass(frozen=True, slots=True)
class UnifiedRobot:
    """One robot of a unified network.

    state_slots, action_slots: of its entries, in order. config, facts, stats: of its ordinary checkpoint.
    """

    name: str
    state_slots: tuple[str, ...]
    action_slots: tuple[str, ...]
    config: PolicyConfig
    facts: CheckpointFacts
    stats: Stats

    def layout(self, slots: Sequence[str]) -> RobotLayout:
        """Where its entries lie in a network with these slots."""
        return RobotLayout.of(self.state_slots, self.action_slots, slots)


def unified_config(robot: PolicyConfig, slots: Sequence[str]) -> PolicyConfig:
    """The options of a network for all robots, from those of any of them.

    Its state has the value of each slot, then for each slot 1 if the robot has it, else 0. A robot's entries
    come normalised, by its own statistics.
    """
    count, identity = len(slots), NormalizationMode.IDENTITY
    return dataclasses.replace(
        robot,
        input_features=robot.image_features | {STATE_KEY: Feature(FeatureType.STATE, (2 * count,))},
        output_features={ACTION_KEY: Feature(FeatureType.ACTION, (count,))},
        normalization_mapping=robot.normalization_mapping | {"STATE": identity, "ACTION": identity},
        relative_entries=(),
        unified_slots=tuple(slots),
    )


def write_unified_checkpoint(
    folder: Path,
    policy: DiTPolicy,
    stats: Stats,
    facts: CheckpointFacts,
    tokenizer: TaskTokenizer,
    robots: Sequence[UnifiedRobot],
) -> Path:
    """Write a unified network with its robots; as ``write_checkpoint``, whose arguments it has."""

    def write_robots(partial: Path) -> None:
        described = [
            {
                "name": robot.name,
                "state_slots": list(robot.state_slots),
                "action_slots": list(robot.action_slots),
                "config": robot.config.to_mapping(),
                "facts": dataclasses.asdict(robot.facts),
            }
            for robot in robots
        ]
        content = {"format": _FORMAT, "robots": described}
        (partial / ROBOTS_FILE).write_text(json.dumps(content, indent=2) + "\n")
        flat = {
            f"{number}/{key}/{name}": tensor.detach().cpu().clone().contiguous()
            for number, robot in enumerate(robots)
            for key, group in robot.stats.items()
            for name, tensor in group.items()
        }
        save_file(flat, partial / _STATS_FILE)

    return write_checkpoint(folder, policy, stats, facts, tokenizer, write_robots)


def read_robots(folder: Path) -> tuple[UnifiedRobot, ...]:
    """The robots of a unified checkpoint. Raises CheckpointError if it has none, or they are damaged."""
    path = folder / ROBOTS_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is the policy of one robot: it has no {ROBOTS_FILE}. It is used as it is"
        )
    content = read_json(path)
    listed = content.get("robots")
    if content.get("format") != _FORMAT or not isinstance(listed, list):
        raise CheckpointError(f"{path}: expected format {_FORMAT} with a list 'robots'")
    names = [str(each.get("name")) for each in listed if isinstance(each, dict)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CheckpointError(f"{path}: expected each robot once, got {', '.join(twice)} several times")
    try:
        stats = load_file(folder / _STATS_FILE)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{folder / _STATS_FILE}: cannot read the statistics: {error}") from error
    return tuple(_read_robot(each, _of_robot(stats, number), str(path)) for number, each in enumerate(listed))


def _read_robot(each: Any, stats: Stats, path: str) -> UnifiedRobot:
    try:
        name, config, facts = str(each["name"]), dict(each["config"]), dict(each["facts"])
        slots = tuple(map(str, each["state_slots"])), tuple(map(str, each["action_slots"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: a robot is damaged: {error!r}") from error
    source = f"{path}: robot {name}"
    options = PolicyConfig.from_mapping(config, source)
    dims = options.state_dim, options.action_dim
    if (len(slots[0]), len(slots[1])) != dims:
        raise CheckpointError(
            f"{source}: expected slots of its {dims[0]} state and {dims[1]} action entries, got "
            f"{len(slots[0])} and {len(slots[1])}"
        )
    for entries in slots:
        if wrong := sorted({slot for slot in entries if slot not in SLOTS or entries.count(slot) > 1}):
            raise CheckpointError(f"{source}: expected each slot once, by its name, got {', '.join(wrong)}")
    if missing := [key for key in (*options.state_parts, ACTION_KEY) if key not in stats]:
        raise CheckpointError(f"{source}: {_STATS_FILE} lacks the statistics of {', '.join(missing)}")
    return UnifiedRobot(name, *slots, options, decode_dataclass(CheckpointFacts, facts, source), stats)


def _of_robot(flat: Mapping[str, Tensor], number: int) -> dict[str, dict[str, Tensor]]:
    stats: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in flat.items():
        robot, _, rest = name.partition("/")
        key, _, statistic = rest.rpartition("/")
        if robot == str(number):
            stats.setdefault(key, {})[statistic] = tensor
    return stats
