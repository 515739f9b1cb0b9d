# SPDX-License-Identifier: Apache-2.0
"""Loads a checkpoint that LeRobot wrote, of a policy that this package has not."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.lerobot_keys import STATE_KEY
from dit_policy_ros.policy.checkpoint import CONFIG_FILE, FACTS_FILE, CheckpointFacts, read_facts
from dit_policy_ros.policy.lerobot_policies._config import ForeignConfig, read_config, set_real_time_chunking
from dit_policy_ros.policy.lerobot_policies._engine import Loaded
from dit_policy_ros.policy.lerobot_policies._options import LeRobotOptions
from dit_policy_ros.policy.lerobot_policies._pipelines import Pipelines, read_pipelines
from dit_policy_ros.policy.lerobot_policies._policy import LeRobotPolicy
from dit_policy_ros.policy.lerobot_policies._weights import build_policy, safe_loading

logger = logging.getLogger(__name__)


def load_lerobot_policy(
    folder: Path, options: LeRobotOptions, assume_fps: float = 0.0, assume_joints: Sequence[str] = ()
) -> LeRobotPolicy:
    """Load a checkpoint.

    Args:
        folder: has LeRobot's files.
        options: how to infer.
        assume_fps, assume_joints: see ``load_policy``.

    Raises:
        CheckpointError: a file is missing, damaged or inconsistent, the type is not installed or cannot be
            used, or an option means nothing for it.
    """
    config = read_config(folder / CONFIG_FILE, options)
    facts = _facts(folder, config).assuming(
        assume_fps, assume_joints, config.state.shape[0], str(folder / FACTS_FILE)
    )
    with safe_loading():
        pipelines = read_pipelines(folder, config)
    set_real_time_chunking(config.options, options.real_time_chunking)
    policy = build_policy(folder, config)
    if options.real_time_chunking:
        _check_real_time_chunking(policy.supports_rtc(), config, pipelines)
    if pipelines.state_range is None:
        if options.unseen_state == "hold":
            raise CheckpointError(
                f"load_policy: unseen_state: expected 'limit', got 'hold': the processors of {folder} have "
                f"no statistics of the state, so which states the policy knows is not known"
            )
        logger.warning(
            "%s: the processors have no statistics of the state: a state far from the training data is not "
            "noticed",
            folder,
        )
    loaded = Loaded(
        folder, config, pipelines, facts, policy, options.unseen_state, options.real_time_chunking
    )
    return LeRobotPolicy(loaded)


def _facts(folder: Path, config: ForeignConfig) -> CheckpointFacts:
    """What dit_policy_ros.json states, and the actions' names that some types keep in config.json."""
    facts = read_facts(folder, {STATE_KEY: config.state.shape[0]}, config.action.shape[0])
    names = getattr(config.options, "action_feature_names", None)
    if not names or facts.joint_names is not None or facts.action_names is not None:
        return facts
    if len(names) != config.action.shape[0] or len(set(names)) != len(names):
        raise CheckpointError(
            f"{config.source}: action_feature_names: expected {config.action.shape[0]} names, each once, got "
            f"{', '.join(names)}"
        )
    return dataclasses.replace(facts, action_names=tuple(names))


def _check_real_time_chunking(supports: bool, config: ForeignConfig, pipelines: Pipelines) -> None:
    if not supports or not hasattr(config.options, "rtc_config"):
        raise CheckpointError(
            f"load_policy: real_time_chunking: expected false, got true: LeRobot's {config.kind!r} cannot "
            f"sample a chunk that continues another one; LeRobot's types with flow matching can, as pi0, "
            f"pi05 and smolvla. Ensembling joins the chunks of any policy"
        )
    if not pipelines.scales_actions:
        raise CheckpointError(
            f"load_policy: real_time_chunking: expected false, got true: the preprocessor of {config.source} "
            f"has no statistics of the action, which bring the previous chunk into the network's units"
        )
