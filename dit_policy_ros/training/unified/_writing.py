# SPDX-License-Identifier: Apache-2.0
"""Writes the checkpoint of several robots, and each robot's own to try it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import Stats, TaskTokenizer
from dit_policy_ros.policy.unified import UnifiedRobot, export_policy, write_unified_checkpoint
from dit_policy_ros.training.unified._batches import UnifiedBatchMaker


class UnifiedWriter:
    """Writes the network of several robots."""

    def __init__(self, batches: UnifiedBatchMaker, tokenizer: TaskTokenizer) -> None:
        """batches: know the robots and their statistics."""
        self._batches, self._tokenizer = batches, tokenizer

    def write(self, place: Path, network: DiTPolicy, facts: CheckpointFacts) -> None:
        """Write the network with all robots. facts: of the run; each robot has its names and tasks."""
        unified = dataclasses.replace(facts, joint_names=None, action_names=())
        stats, tokenizer = self._batches.stats, self._tokenizer
        write_unified_checkpoint(place, network, stats, unified, tokenizer, self._robots(facts))

    def write_each(self, network: DiTPolicy, facts: CheckpointFacts) -> dict[str, Any]:
        """For each robot, a function that writes its own checkpoint into the folder that it is given."""

        def writer(number: int, robot: UnifiedRobot) -> Any:
            layout = self._batches.robots[number].layout

            def write(place: Path) -> None:
                policy = export_policy(network, robot.config, layout)
                write_checkpoint(place, policy, robot.stats, robot.facts, self._tokenizer)

            return write

        return {robot.name: writer(number, robot) for number, robot in enumerate(self._robots(facts))}

    def _robots(self, facts: CheckpointFacts) -> list[UnifiedRobot]:
        robots = list[UnifiedRobot]()
        names = [robot.plan.name for robot in self._batches.robots]
        for robot, maker in zip(self._batches.robots, self._batches.makers, strict=True):
            data, plan = robot.data, robot.plan
            own = {IMAGE_PREFIX + name: camera.key for name, camera in plan.cameras.items()}
            used = {*robot.config.image_features, *robot.config.state_parts, ACTION_KEY}
            stats: Stats = {own.get(key, key): group for key, group in maker.stats.items() if key in used}
            known = facts.known_tasks
            own_facts = dataclasses.replace(
                facts,
                joint_names=data.state_names,
                action_names=None if data.action_names == data.state_names else data.action_names or (),
                known_tasks=tuple(task for task in known if task in data.tasks),
                training=_training(facts.training, plan.name, names),
            )
            robots.append(
                UnifiedRobot(
                    plan.name, plan.state_slots, plan.action_slots, robot.own_config(), own_facts, stats
                )
            )
        return robots


def _training(training: Mapping[str, Any], name: str, names: list[str]) -> dict[str, Any]:
    return {**training, "unified": {"robot": name, "robots": names}}
