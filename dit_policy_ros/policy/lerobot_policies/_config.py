# SPDX-License-Identifier: Apache-2.0
"""Reads the config.json of a LeRobot policy: checked strictly, and with what inference here needs."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import draccus
from lerobot.configs import PreTrainedConfig
from lerobot.policies.rtc.configuration_rtc import RTCConfig

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.policy.config import Feature, FeatureType, covering_steps, decode, read_json
from dit_policy_ros.policy.lerobot_policies._options import LeRobotOptions
from dit_policy_ros.policy.lerobot_policies._strict import check_options
from dit_policy_ros.policy.lerobot_policies._types import config_class, type_facts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ForeignConfig:
    """The options of a LeRobot policy.

    Attributes:
        kind: LeRobot's name of the type.
        options: LeRobot's object, as the policy is built from it.
        source: the file's name for messages.
        images: the cameras' features (3, H, W) by key, without LeRobot's empty cameras.
        inputs, outputs: all features by key.
    """

    kind: str
    options: PreTrainedConfig
    source: str
    images: Mapping[str, Feature]
    inputs: Mapping[str, Feature]
    outputs: Mapping[str, Feature]

    @property
    def state(self) -> Feature:
        """The state's feature (D,)."""
        return self.inputs[STATE_KEY]

    @property
    def action(self) -> Feature:
        """The action's feature (A,)."""
        return self.outputs[ACTION_KEY]


def read_config(path: Path, given: LeRobotOptions) -> ForeignConfig:
    """Read a config.json.

    Args:
        path: of the file.
        given: options of ``load_policy``; those that change the configuration are applied.

    Raises:
        CheckpointError: an unknown type, option or value, or inputs that the robot does not have.
    """
    source = str(path)
    mapping = dict(read_json(path))
    kind = mapping.pop("type", None)
    cls = config_class(kind, source)
    given.check(kind)
    check_options(cls, mapping, source)
    inputs, outputs = (_features(mapping, name, source) for name in ("input_features", "output_features"))
    if mapping.get("use_peft"):
        raise CheckpointError(
            f"{source}: use_peft: expected false, got true: the weights are an adapter of another model. "
            f"Merge them into one model with peft's merge_and_unload, and save that"
        )
    mapping |= given.changes(kind) | _forced(cls, given)
    check_options(cls, mapping, f"load_policy, for {source}")
    options = _decode(cls, mapping, source)
    _check_inputs(inputs, outputs, options, source)
    _check_steps(options, source)
    _check_times(options, source)
    _widen_chunk(options)
    empty = {f"observation.images.empty_camera_{i}" for i in range(getattr(options, "empty_cameras", 0))}
    images = {k: f for k, f in inputs.items() if f.type is FeatureType.VISUAL and k not in empty}
    if not images and any(f.type is FeatureType.VISUAL for f in inputs.values()):
        raise CheckpointError(
            f"{source}: input_features: expected a camera, got only LeRobot's empty cameras"
        )
    return ForeignConfig(kind, options, source, images, inputs, outputs)


def _forced(cls: type, given: LeRobotOptions) -> dict[str, Any]:
    """Values that inference here decides, for the options that a type has."""
    forced = {
        "device": str(given.device),
        "pretrained_path": None,
        # The weights are in the checkpoint. LeRobot would download others first, some of them pickled.
        "pretrained_backbone_weights": None,
        "push_to_hub": False,
        "gradient_checkpointing": False,
    }
    return {name: value for name, value in forced.items() if name in cls.__dataclass_fields__}  # type: ignore[attr-defined]


def _decode(cls: type[PreTrainedConfig], mapping: Mapping[str, Any], source: str) -> PreTrainedConfig:
    try:
        return draccus.decode(cls, dict(mapping))
    except Exception as error:
        # LeRobot's own checks raise any kind of error, and its decoder hides them behind one of its own.
        reason = error.__cause__ or error.__context__ or error
        raise CheckpointError(f"{source}: LeRobot refuses the options: {reason}") from error


def _features(mapping: Mapping[str, Any], name: str, source: str) -> dict[str, Feature]:
    if not mapping.get(name):
        raise CheckpointError(f"{source}: {name}: expected the features that it was trained with, got none")
    return decode(mapping[name], dict[str, Feature], f"{source}: {name}")


def _check_inputs(
    inputs: Mapping[str, Feature], outputs: Mapping[str, Feature], options: PreTrainedConfig, source: str
) -> None:
    """The robot gives cameras and joint positions, and takes joint positions."""
    if STATE_KEY not in inputs or inputs[STATE_KEY].type is not FeatureType.STATE:
        raise CheckpointError(
            f"{source}: input_features: expected {STATE_KEY!r} of type STATE, got {', '.join(inputs)}; a "
            f"policy that does not see the joints cannot continue their motion"
        )
    if set(outputs) != {ACTION_KEY} or outputs[ACTION_KEY].type is not FeatureType.ACTION:
        raise CheckpointError(
            f"{source}: output_features: expected {ACTION_KEY!r} alone, got {', '.join(outputs)}"
        )
    others = [k for k, f in inputs.items() if f.type is not FeatureType.VISUAL and k != STATE_KEY]
    if others:
        raise CheckpointError(
            f"{source}: input_features: expected cameras and {STATE_KEY!r}, got {', '.join(others)} in "
            f"addition, which the robot does not measure"
        )
    for name, features in (("input_features", inputs), ("output_features", outputs)):
        for key, feature in features.items():
            is_image = feature.type is FeatureType.VISUAL
            is_good = len(feature.shape) == (3 if is_image else 1) and all(size > 0 for size in feature.shape)
            if not is_good or (is_image and feature.shape[0] != 3):
                expected = "(3, height, width)" if is_image else "(entries,)"
                raise CheckpointError(
                    f"{source}: {name}.{key}: expected shape {expected}, got {feature.shape}"
                )
    if options.n_obs_steps < 1:
        raise CheckpointError(f"{source}: n_obs_steps: expected 1 or more, got {options.n_obs_steps}")


def _check_steps(options: PreTrainedConfig, source: str) -> None:
    """Refuse a number of sampling steps that no schedule has; warn of one that begins in its middle."""
    name = type_facts(options.type).steps_option
    steps = getattr(options, name) if name else None
    if steps is None:
        return
    if steps < 1:
        raise CheckpointError(f"{source}: {name}: expected 1 or more, got {steps}")
    trained = getattr(options, "num_train_timesteps", None)
    if trained is None:
        return
    if steps > trained:
        raise CheckpointError(f"{source}: {name}: expected at most the {trained} of training, got {steps}")
    if steps not in covering_steps(trained):
        logger.warning(
            "%s: %s %d does not divide the %d training steps: sampling begins in the middle of the schedule, "
            "with pure noise. Chunks can be worse than with fewer steps",
            source,
            name,
            steps,
            trained,
        )


def _check_times(options: PreTrainedConfig, source: str) -> None:
    """The observations and the actions must be one period apart, and the newest observation in the chunk."""
    steps = options.n_obs_steps
    seen, acted = options.observation_delta_indices, options.action_delta_indices
    if steps > 1 and seen is not None and list(seen) != list(range(1 - steps, 1)):
        raise CheckpointError(
            f"{source}: it observes at the steps {list(seen)}; expected {list(range(1 - steps, 1))}, which "
            f"are one period apart and end now"
        )
    acted = list(acted or ())
    if not acted or acted != list(range(acted[0], acted[0] + len(acted))) or acted[0] not in (0, 1 - steps):
        raise CheckpointError(
            f"{source}: it acts at the steps {acted}; expected a chunk of actions one period apart that "
            f"begins now, or at the oldest observation"
        )


def _widen_chunk(options: PreTrainedConfig) -> None:
    """Let a diffusion policy return all of its actions, not only those that LeRobot would execute."""
    if options.type == "diffusion":
        options.n_action_steps = options.horizon - options.n_obs_steps + 1  # type: ignore[attr-defined]


def set_real_time_chunking(options: PreTrainedConfig, is_on: bool) -> None:
    """Switch LeRobot's real-time chunking, with the checkpoint's settings if it has any."""
    if not hasattr(options, "rtc_config"):
        return
    if is_on and options.rtc_config is None:  # type: ignore[attr-defined]
        options.rtc_config = RTCConfig()  # type: ignore[attr-defined]
    if options.rtc_config is not None:  # type: ignore[attr-defined]
        options.rtc_config.enabled = is_on  # type: ignore[attr-defined]
