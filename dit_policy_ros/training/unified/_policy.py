# SPDX-License-Identifier: Apache-2.0
"""Builds the network of several robots that a run starts with."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from dit_policy_ros.core.problems import Problems
from dit_policy_ros.policy.checkpoint import pretrained_policy
from dit_policy_ros.policy.unified import unified_config
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import InitialPolicy, build_demo_policy
from dit_policy_ros.training.unified._data import RobotData


def unified_policy(
    config: TrainConfig,
    robots: Sequence[RobotData],
    slots: Sequence[str],
    wordings: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> InitialPolicy:
    """A new network for all robots; its weights come from torch's global generator.

    Args:
        config: the run's options.
        robots: with their demonstrations.
        slots: of all robots, in the network's order.
        wordings: by instruction; the vocabulary of a small network is learned from them.

    Raises:
        TrainingError: images are not resized, and have different sizes.
        CheckpointError: an encoder cannot be loaded.
    """
    options = unified_config(robots[0].config, slots)
    sizes = {
        (robot.plan.name, feature.shape[1:])
        for robot in robots
        for feature in robot.config.image_features.values()
    }
    if options.image_resize_shape is None and len({size for _, size in sizes}) > 1:
        problems = Problems("")
        for name, size in sorted(sizes):
            problems.add(f"robot {name}", "images of one size", f"{size[1]}x{size[0]}")
        problems.raise_if_any(
            TrainingError,
            "--unified-actions: set --policy image_resize_shape=[HEIGHT, WIDTH], as sizes differ",
        )
    tasks = tuple(dict.fromkeys(task for robot in robots for task in robot.data.tasks))
    if config.network != "small":
        return InitialPolicy(*pretrained_policy(options))
    texts = [text for task in tasks for text in wordings.get(task, (task,))]
    return InitialPolicy(*build_demo_policy(options, texts))
