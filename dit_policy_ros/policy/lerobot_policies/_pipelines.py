# SPDX-License-Identifier: Apache-2.0
"""Reads LeRobot's pre- and postprocessor of a checkpoint, and checks what LeRobot lets pass.

LeRobot does not normalise a feature without statistics, and says nothing; the robot would then move by the
network's units. A step given by its class can be any function of any module. Both are refused.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.policies.factory import make_pre_post_processors
from lerobot.processor import PolicyProcessorPipeline, ProcessorStepRegistry
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.policy.config import Feature, NormalizationMode, decode_dataclass, read_json
from dit_policy_ros.policy.lerobot_policies._config import ForeignConfig
from dit_policy_ros.policy.lerobot_policies._strict import check_numbers, check_options
from dit_policy_ros.policy.processing import (
    POSTPROCESSOR,
    PREPROCESSOR,
    NormalizerStep,
    StateRange,
    check_same_scaling,
    normalizer_of,
    read_tensors,
    statistics_of,
)

NORMALIZER, UNNORMALIZER = "normalizer_processor", "unnormalizer_processor"
ABSOLUTE = "absolute_actions_processor"
RENAME, DEVICE = "rename_observations_processor", "device_processor"


@dataclass(frozen=True, slots=True)
class Pipelines:
    """Both processors.

    Attributes:
        before: from observation to the network's input.
        after: from the network's output to actions.
        state_range: the range of states in the training data; None if the statistics do not say.
        names: the robot's key of each input of the policy that has another one.
        scales_actions: whether ``before`` also brings actions into the network's units.
        has_relative_actions: whether ``after`` adds the state to the actions.
    """

    before: PolicyProcessorPipeline
    after: PolicyProcessorPipeline
    state_range: StateRange | None
    names: Mapping[str, str]
    scales_actions: bool
    has_relative_actions: bool


@dataclass(frozen=True, slots=True)
class _Step:
    kind: str
    options: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    where: str


def read_pipelines(folder: Path, config: ForeignConfig) -> Pipelines:
    """Check and read both pipelines of a checkpoint.

    Raises:
        CheckpointError: a file, a step or a statistic is missing, unknown or damaged.
    """
    # The module of a type's processors registers its steps.
    module = type(config.options).__module__.replace("configuration_", "processor_")
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise CheckpointError(
                f"{config.source}: LeRobot's {config.kind!r} needs a package: {error}"
            ) from error
    before, after = (_read_steps(folder, name) for name in (PREPROCESSOR, POSTPROCESSOR))
    state_range, scales_actions = _check_scaling(folder, config, before, after)
    overrides = {DEVICE: {"device": config.options.device}} if _find(before, DEVICE) else {}
    try:
        pipelines = make_pre_post_processors(
            config.options, pretrained_path=str(folder), preprocessor_overrides=overrides
        )
    except Exception as error:
        # LeRobot and transformers raise any kind of error for a step that cannot be built.
        raise CheckpointError(
            f"{folder}: LeRobot cannot build the processors: {type(error).__name__}: {error}"
        ) from error
    is_relative = any(step.kind == ABSOLUTE and step.options.get("enabled") for step in after)
    return Pipelines(*pipelines, state_range, _robot_keys(before, config), scales_actions, is_relative)


def _read_steps(folder: Path, name: str) -> list[_Step]:
    path = folder / f"{name}.json"
    entries = read_json(path).get("steps")
    if not isinstance(entries, list):
        raise CheckpointError(f"{path}: expected a list 'steps', got {entries!r:.80}")
    steps = []
    for i, entry in enumerate(entries):
        kind = entry.get("registry_name") if isinstance(entry, dict) else None
        where = f"{path}: step {i} ({kind})"
        if not isinstance(kind, str) or kind not in ProcessorStepRegistry.list():
            raise CheckpointError(
                f"{path}: step {i}: expected the registry_name of a step that LeRobot or an installed plugin "
                f"has, got {entry!r:.200}; a step given by its 'class' could run anything, and is not loaded"
            )
        options = entry.get("config", {})
        if not isinstance(options, dict):
            raise CheckpointError(f"{where}: config: expected an object, got {options!r:.80}")
        _check_step(kind, options, where)
        file = entry.get("state_file")
        tensors = {} if file is None else read_tensors(folder, file, where)
        _check_finite(tensors, where)
        steps.append(_Step(kind, options, tensors, where))
    return steps


def _check_step(kind: str, options: Mapping[str, Any], where: str) -> None:
    check_numbers(dict(options), where)
    if options.get("trust_remote_code"):
        raise CheckpointError(
            f"{where}: trust_remote_code: expected false, got true: no code of a checkpoint is run"
        )
    if kind in (NORMALIZER, UNNORMALIZER):
        decode_dataclass(
            NormalizerStep, options, where
        )  # LeRobot would prefer 'stats' here to the state_file
        return
    check_options(ProcessorStepRegistry.get(kind), options, where)


def _check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    broken = [
        n for n, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()
    ]
    if broken:
        raise CheckpointError(f"{where}: expected finite numbers, got NaN or infinity in {', '.join(broken)}")


def _find(steps: list[_Step], kind: str) -> _Step | None:
    """The only step of a kind, or none."""
    found = [step for step in steps if step.kind == kind]
    if len(found) > 1 and kind in (NORMALIZER, UNNORMALIZER):
        raise CheckpointError(f"{found[1].where}: expected one step {kind!r}, got {len(found)}")
    return found[0] if found else None


def _check_scaling(
    folder: Path, config: ForeignConfig, before: list[_Step], after: list[_Step]
) -> tuple[StateRange | None, bool]:
    """Every feature is normalised as config.json says, with statistics that are there.

    Returns:
        The range of the states in the statistics, and whether actions are normalised by ``before``, too.
    """
    wanted = {
        str(getattr(kind, "value", kind)): NormalizationMode(mode.value)
        for kind, mode in getattr(config.options, "normalization_mapping", {}).items()
    }
    step = _find(before, NORMALIZER)
    for key, feature in {STATE_KEY: config.state, **config.images}.items():
        _check_feature(key, feature, wanted, step, folder / f"{PREPROCESSOR}.json")
    undone = _find(after, UNNORMALIZER)
    _check_feature(ACTION_KEY, config.action, wanted, undone, folder / f"{POSTPROCESSOR}.json")
    if step is None:
        return None, False
    options = decode_dataclass(NormalizerStep, step.options, step.where)
    stats = statistics_of(STATE_KEY, step.tensors)
    mode = options.norm_map.get(config.state.type.value, NormalizationMode.IDENTITY)
    state_range: StateRange | None = StateRange.of(stats, config.state.shape[0], mode)
    if state_range is not None and np.isinf(state_range.low).any():
        state_range = None
    scales_actions = ACTION_KEY in options.features and bool(statistics_of(ACTION_KEY, step.tensors))
    if scales_actions and undone is not None:
        trained = normalizer_of(ACTION_KEY, config.action, options, step.tensors, step.where)
        other = decode_dataclass(NormalizerStep, undone.options, undone.where)
        used = normalizer_of(ACTION_KEY, config.action, other, undone.tensors, undone.where)
        check_same_scaling(trained, used, folder)
    return state_range, scales_actions


def _check_feature(
    key: str, feature: Feature, wanted: Mapping[str, NormalizationMode], step: _Step | None, path: Path
) -> None:
    expected = wanted.get(feature.type.value, NormalizationMode.IDENTITY)
    if step is None:
        if expected is not NormalizationMode.IDENTITY:
            raise CheckpointError(
                f"{path}: {key} is normalised with {expected.value} by config.json: expected a step that "
                f"does it, got none"
            )
        return
    options = decode_dataclass(NormalizerStep, step.options, step.where)
    found = normalizer_of(key, feature, options, step.tensors, step.where).mode
    if found is not expected:
        raise CheckpointError(
            f"{step.where}: {key}: expected normalisation by {expected.value}, as in config.json, got "
            f"{found.value}"
        )
    stated = options.features.get(key)
    if stated is not None and stated.shape != feature.shape and found is not NormalizationMode.IDENTITY:
        raise CheckpointError(
            f"{step.where}: features.{key}: expected shape {feature.shape}, as in config.json, got "
            f"{stated.shape}"
        )


def _robot_keys(before: list[_Step], config: ForeignConfig) -> dict[str, str]:
    """What the training data called the inputs that the policy calls otherwise."""
    names: dict[str, str] = {}
    for step in before:
        if step.kind == RENAME:
            for robot, own in step.options.get("rename_map", {}).items():
                if own in names:
                    raise CheckpointError(
                        f"{step.where}: rename_map: expected one name for {own!r}, got {names[own]!r} and "
                        f"{robot!r}"
                    )
                names[own] = robot
    inputs = (STATE_KEY, *config.images)
    robot_keys = {key: names.get(key, key) for key in inputs}
    if len(set(robot_keys.values())) != len(robot_keys):
        raise CheckpointError(
            f"{config.source}: the preprocessor's rename_map gives two inputs one name: {robot_keys}"
        )
    return robot_keys
