# SPDX-License-Identifier: Apache-2.0
"""Reads and writes LeRobot's ``policy_preprocessor.json``, ``policy_postprocessor.json`` and statistics."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY
from dit_policy_ros.policy.config import (
    Feature,
    NormalizationMode,
    PolicyConfig,
    decode_dataclass,
    lfs_hint,
    read_json,
)
from dit_policy_ros.policy.processing._joined import (
    JoinedNormalizer,
    JoinedRange,
    join_normalizers,
    join_ranges,
)
from dit_policy_ros.policy.processing._normalize import LOW_HIGH, Normalizer, make_normalizer
from dit_policy_ros.policy.processing._state_range import StateRange
from dit_policy_ros.policy.processing._tokens import TokenizerOptions

PREPROCESSOR = "policy_preprocessor"
POSTPROCESSOR = "policy_postprocessor"
DEFAULT_EPS = 1e-8

Stats = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Processors:
    """The conversions between robot units and the network's inputs and outputs."""

    tokenizer: TokenizerOptions
    state: Normalizer | JoinedNormalizer
    state_range: StateRange | JoinedRange
    images: Mapping[str, Normalizer]  # by ``observation.images.<name>``
    action: Normalizer


@dataclass(frozen=True, slots=True)
class NormalizerStep:
    """The options of LeRobot's ``normalizer_processor`` and ``unnormalizer_processor``."""

    features: dict[str, Feature]
    norm_map: dict[str, NormalizationMode]
    eps: float = DEFAULT_EPS
    normalize_observation_keys: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _DeviceStep:
    device: str | None = None
    float_dtype: str | None = None


@dataclass(frozen=True, slots=True)
class _RenameStep:
    # Maps a dataset's names to the checkpoint's. Not applied: our inputs already have the checkpoint's names.
    rename_map: dict[str, str]


@dataclass(frozen=True, slots=True)
class _EmptyStep:
    pass


_STEPS: Mapping[str, type] = {
    "rename_observations_processor": _RenameStep,
    "to_batch_processor": _EmptyStep,
    "tokenizer_processor": TokenizerOptions,
    "device_processor": _DeviceStep,
    "normalizer_processor": NormalizerStep,
    "unnormalizer_processor": NormalizerStep,
}


def read_processors(folder: Path, config: PolicyConfig) -> Processors:
    """Read both pipelines of a checkpoint.

    Args:
        folder: the checkpoint.
        config: its options.

    Raises:
        CheckpointError: a file, a step or a statistic is missing, unknown or damaged.
    """
    before = _read_pipeline(folder, PREPROCESSOR)
    after = _read_pipeline(folder, POSTPROCESSOR)
    source = str(folder / f"{PREPROCESSOR}.json")
    tokenizer, _ = _require_step(before, "tokenizer_processor", source)
    step, stats = _require_step(before, "normalizer_processor", source)
    parts = {
        key: normalizer_of(key, config.input_features[key], step, stats, source) for key in config.state_parts
    }
    state = join_normalizers(tuple(parts.values()), tuple(config.state_parts.values()))
    state_range = join_ranges(
        [
            StateRange.of(statistics_of(key, stats), config.state_parts[key], part.mode)
            for key, part in parts.items()
        ]
    )
    trained = _action_in_training(config, step, stats, source)
    images = {
        key: normalizer_of(key, feature, step, stats, source)
        for key, feature in config.image_features.items()
    }
    source = str(folder / f"{POSTPROCESSOR}.json")
    step, stats = _require_step(after, "unnormalizer_processor", source)
    action = normalizer_of(ACTION_KEY, config.output_features[ACTION_KEY], step, stats, source)
    if trained is not None:
        check_same_scaling(trained, action, folder)
    return Processors(tokenizer, state, state_range, images, action)


def _action_in_training(
    config: PolicyConfig, step: NormalizerStep, stats: Mapping[str, Tensor], source: str
) -> Normalizer | None:
    """How the preprocessor scales actions, which only training does; None if it has no statistics of them."""
    if ACTION_KEY not in step.features or not statistics_of(ACTION_KEY, stats):
        return None
    return normalizer_of(ACTION_KEY, config.output_features[ACTION_KEY], step, stats, source)


def check_same_scaling(trained: Normalizer, used: Normalizer, folder: Path) -> None:
    """CheckpointError if actions are scaled in training otherwise than back again at inference."""
    what = ""
    if trained.mode is not used.mode:
        what = f"by {trained.mode.value} and by {used.mode.value}"
    elif trained.mode is not NormalizationMode.IDENTITY:
        names = ("mean", "std") if used.mode is NormalizationMode.MEAN_STD else LOW_HIGH[used.mode]
        pairs = zip(
            names,
            (trained.mean_or_low, trained.std_or_high),
            (used.mean_or_low, used.std_or_high),
            strict=True,
        )
        for name, one, other in pairs:
            if not torch.allclose(one, other, rtol=1e-5, atol=1e-8):
                entry = int((one - other).abs().argmax())
                what = f"with {ACTION_KEY}.{name} {one[entry]:g} and {other[entry]:g} at entry {entry}"
                break
    if what:
        raise CheckpointError(
            f"{folder}: {PREPROCESSOR}.json scales actions for training otherwise than {POSTPROCESSOR}.json "
            f"scales them back: {what}. The motion would not be the one that was learned; take both files "
            f"and their *.safetensors from one checkpoint"
        )


def write_processors(folder: Path, config: PolicyConfig, stats: Stats) -> None:
    """Write both pipelines as LeRobot's factory for this policy does.

    Args:
        folder: the checkpoint.
        config: the policy's options.
        stats: statistics by feature and name, e.g. ``stats["observation.state"]["min"]`` of shape (D,).
    """
    features = {
        key: dataclasses.asdict(f) for key, f in {**config.input_features, **config.output_features}.items()
    }
    norm_map = {key: mode.value for key, mode in config.normalization_mapping.items()}
    scaling = {"eps": DEFAULT_EPS, "features": features, "norm_map": norm_map}
    outputs = {key: value for key, value in features.items() if key in config.output_features}
    before: list[tuple[str, dict[str, Any]]] = [
        ("rename_observations_processor", {"rename_map": {}}),
        ("to_batch_processor", {}),
        ("tokenizer_processor", dataclasses.asdict(TokenizerOptions.of(config))),
        ("device_processor", {"device": config.device or "cpu", "float_dtype": None}),
        ("normalizer_processor", scaling),
    ]
    after: list[tuple[str, dict[str, Any]]] = [
        ("unnormalizer_processor", {**scaling, "features": outputs}),
        ("device_processor", {"device": "cpu", "float_dtype": None}),
    ]
    flat = {
        f"{key}.{name}": tensor.detach().clone()
        for key, group in stats.items()
        for name, tensor in group.items()
    }
    _write_pipeline(folder, PREPROCESSOR, before, flat)
    _write_pipeline(folder, POSTPROCESSOR, after, flat)


def read_stats(folder: Path) -> dict[str, dict[str, Tensor]]:
    """All statistics of a checkpoint's preprocessor, by feature and name."""
    source = str(folder / f"{PREPROCESSOR}.json")
    _, flat = _require_step(_read_pipeline(folder, PREPROCESSOR), "normalizer_processor", source)
    stats: dict[str, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        key, _, statistic = name.rpartition(".")
        stats.setdefault(key, {})[statistic] = tensor
    return stats


def _read_pipeline(folder: Path, name: str) -> dict[str, tuple[Any, dict[str, Tensor]]]:
    path = folder / f"{name}.json"
    steps = read_json(path).get("steps")
    if not isinstance(steps, list):
        raise CheckpointError(f"{path}: expected a list 'steps', got {steps!r}")
    pipeline: dict[str, tuple[Any, dict[str, Tensor]]] = {}
    for i, entry in enumerate(steps):
        kind = entry.get("registry_name") if isinstance(entry, dict) else entry
        if not isinstance(kind, str) or kind not in _STEPS:
            raise CheckpointError(
                f"{path}: unknown step {kind!r} at index {i}; known steps: {', '.join(sorted(_STEPS))}"
            )
        options = entry.get("config", {})
        if not isinstance(options, dict):
            raise CheckpointError(f"{path}: {kind}: config: expected an object, got {options!r:.80}")
        step = decode_dataclass(_STEPS[kind], options, f"{path}: {kind}")
        if isinstance(step, _DeviceStep) and step.float_dtype not in (None, "float32"):
            raise CheckpointError(
                f"{path}: {kind}: float_dtype: expected float32 or null, got {step.float_dtype!r}"
            )
        file = entry.get("state_file")
        pipeline[kind] = (step, {} if file is None else read_tensors(folder, file, f"{path}: {kind}"))
    return pipeline


def read_tensors(folder: Path, name: Any, source: str) -> dict[str, Tensor]:
    """Read the ``state_file`` of a step; CheckpointError for another place than the folder, or damage."""
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name or "\0" in name:
        raise CheckpointError(
            f"{source}: state_file: expected the name of a file in the checkpoint's folder, got {name!r:.80}"
        )
    try:
        return load_file(folder / name)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{folder / name}: cannot read the statistics: {error}{lfs_hint(folder / name)}"
        ) from error


def _require_step(pipeline: Mapping[str, Any], kind: str, source: str) -> tuple[Any, dict[str, Tensor]]:
    if kind not in pipeline:
        raise CheckpointError(f"{source}: expected a step {kind!r}; present: {', '.join(pipeline) or 'none'}")
    return pipeline[kind]


def normalizer_of(
    key: str, feature: Feature, step: NormalizerStep, flat: Mapping[str, Tensor], source: str
) -> Normalizer:
    """How a step normalises one feature, from the statistics of all; CheckpointError if they do not say."""
    mode = step.norm_map.get(feature.type.value, NormalizationMode.IDENTITY)
    if (
        step.normalize_observation_keys is not None
        and key != ACTION_KEY
        and key not in step.normalize_observation_keys
    ):
        mode = NormalizationMode.IDENTITY
    if mode is not NormalizationMode.IDENTITY and key not in step.features:
        raise CheckpointError(
            f"{source}: {key} is not among the features of the normaliser: {', '.join(step.features)}"
        )
    return make_normalizer(key, feature, mode, statistics_of(key, flat), step.eps, source)


def statistics_of(key: str, flat: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The statistics of one feature, by name."""
    return {name.rpartition(".")[2]: value for name, value in flat.items() if name.rpartition(".")[0] == key}


def _write_pipeline(
    folder: Path, name: str, steps: list[tuple[str, dict[str, Any]]], stats: Mapping[str, Tensor]
) -> None:
    entries = []
    for i, (kind, options) in enumerate(steps):
        entry: dict[str, Any] = {"registry_name": kind, "config": options}
        if _STEPS[kind] is NormalizerStep:
            entry["state_file"] = f"{name}_step_{i}_{kind}.safetensors"
            save_file(dict(stats), folder / entry["state_file"])
        entries.append(entry)
    (folder / f"{name}.json").write_text(json.dumps({"name": name, "steps": entries}, indent=2) + "\n")
