# SPDX-License-Identifier: Apache-2.0
"""Trains a policy from LeRobotDatasets and nothing else: no simulator state, no stills with known content.

1. A new network, which learns from the demonstrations' own frames before it learns actions
   (``_demonstrations_start.py``).
2. An ordinary training run. With a frozen encoder the features of all images are computed once.

The first stage writes a checkpoint into the work folder and is skipped if that is there.
"""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.core.problems import Problems
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.recipes._cube_tasks import Train
from dit_policy_ros.training.recipes._demonstrations_config import DemonstrationsConfig
from dit_policy_ros.training.recipes._demonstrations_start import make_initial_checkpoint, taught_first
from dit_policy_ros.training.trainer import RunFolder

logger = logging.getLogger(__name__)

RECIPE_FILE = "recipe.json"  # in the work folder and in the run's: the options that it was made with
# Options that a stage does not depend on.
_OF_THE_PLACE = {"output", "work", "device", "threads", "frame_store"}
_OF_THE_RUN = {"steps", "vision_lr_multiplier", "example_stride", "balance_tasks"}
_AFTER_INTENT = 0.1  # learning rate of what has learned the intent, relative to the others


def run_demonstrations(config: DemonstrationsConfig, train: Train) -> int:
    """Run both stages; returns the exit code of the training run.

    Raises:
        DitPolicyError: the datasets or the options do not fit together.
    """
    folder, options = RunFolder(config.output), config.train_config()
    if folder.has_run:
        # An option that is not given has its default value, and the run keeps its own.
        _check_made_with(config, config.output, {*_OF_THE_PLACE, "steps"}, unless_default=True)
        now = {"steps": config.steps, "device": config.device}
        if config.frame_store:
            now["frame_store"] = config.frame_store
        return train(folder.resumed_config(now), folder, True)
    torch.set_num_threads(config.threads)
    if config.initial_checkpoint.is_dir():
        _check_made_with(config, config.work, {*_OF_THE_PLACE, *_OF_THE_RUN})
    else:
        make_initial_checkpoint(config)
        _write_options(config, config.work)
    _write_options(config, config.output)
    started = dataclasses.replace(
        options,
        init=str(config.initial_checkpoint),
        network="small",
        policy={},
        relative_actions=False,
        gripper_scale=1.0,  # the initial checkpoint's statistics have it
        observation_lr_multiplier=_AFTER_INTENT if taught_first(config) == "intent" else 1.0,
    )
    return train(started, folder, False)


def _options(config: DemonstrationsConfig) -> dict[str, Any]:
    """The options as JSON has them."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def _write_options(config: DemonstrationsConfig, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RECIPE_FILE, json.dumps(_options(config), indent=2) + "\n")


def _check_made_with(
    config: DemonstrationsConfig, folder: Path, free: set[str], unless_default: bool = False
) -> None:
    """TrainingError lists the options that differ from those with which a folder's content was made.

    free: options that may differ. unless_default: options with their default value may differ, too.
    """
    file = folder / RECIPE_FILE
    if not file.exists():
        logger.warning(
            "%s was made by an earlier version: nobody can check that its options are these", folder
        )
        return
    try:
        before = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{folder} was made with options that are not known ({error}): remove it, or give another folder"
        ) from error
    now, problems = _options(config), Problems(str(file))
    defaults = _options(DemonstrationsConfig(config.dataset))
    before = before if isinstance(before, Mapping) else {}
    for name in now:
        is_free = name in free or (unless_default and now[name] == defaults[name] and name != "dataset")
        made = before.get(name, defaults[name])  # an earlier version had no such option
        if made != now[name] and not is_free:
            problems.add(f"--{name.replace('_', '-')}", f"{made!r}", f"{now[name]!r}")
    problems.raise_if_any(
        TrainingError,
        f"{folder} was made with other options, which would stay. Give those again, or another folder "
        f"(--output, --work)",
    )
