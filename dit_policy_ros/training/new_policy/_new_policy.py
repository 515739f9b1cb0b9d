# SPDX-License-Identifier: Apache-2.0
"""The options of a new policy for the robot of the training data.

Shapes: A action entries.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, ENVIRONMENT_KEY, STATE_KEY, camera_names
from dit_policy_ros.core.poses import rotation_columns
from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.data.description import (
    DatasetDescription,
    VectorFeature,
    check_one_size,
    choose_cameras,
    choose_vectors,
)
from dit_policy_ros.policy.checkpoint import check_encoders
from dit_policy_ros.policy.config import (
    EXTENDED_TYPE,
    EXTENSIONS,
    Feature,
    FeatureType,
    NormalizationMode,
    PolicyConfig,
)
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy._small_policy import (
    demo_config,
    pretrained_config,
    vision_side,
)

_STEPS_ARE_FOR = (
    30.0  # [Hz] the rate for which LeRobot's and the small network's numbers of steps were chosen
)
_SHORTEST_HORIZON = 8  # steps


@dataclass(frozen=True, slots=True)
class DataShape:
    """What a network must know of the data.

    fps [Hz]. state_dim: without further vectors. image_sizes: (height, width) [pixel] by the camera's key.
    vectors: the further ones that it reads.
    """

    fps: float
    state_dim: int
    action_dim: int
    state_names: tuple[str, ...] | None
    action_names: tuple[str, ...] | None
    image_sizes: Mapping[str, tuple[int, int]]
    vectors: tuple[VectorFeature, ...] = ()

    @classmethod
    def of(cls, data: Demonstrations) -> "DataShape":
        """The shape of demonstrations."""
        dims = data.state_parts[STATE_KEY], data.action.shape[1]
        return cls(data.fps, *dims, data.state_names, data.action_names, data.image_sizes, data.vectors)

    def check_image_sizes(self, resized: object) -> None:
        """Raises DatasetError if images of different sizes would come to the network as they are.

        resized: the policy's ``image_resize_shape``.
        """
        names = camera_names(self.image_sizes)
        if resized is None:
            check_one_size({names[key]: size for key, size in self.image_sizes.items()}, "the dataset")

    @classmethod
    def described(
        cls, description: DatasetDescription, cameras: Sequence[str] | None, vectors: Sequence[str]
    ) -> "DataShape":
        """The shape of a dataset, before anything is decoded.

        Args:
            description: of the dataset.
            cameras: names or keys of the cameras to read; None reads all.
            vectors: names or keys of the further vectors to read.

        Raises:
            DatasetError: the dataset lacks what a policy needs.
        """
        state, action = description.state_and_action()
        chosen = choose_cameras(description.cameras, cameras, description.source)
        sizes = {camera.key: (camera.height, camera.width) for camera in chosen}
        further = choose_vectors(description.vectors, vectors, description.source)
        return cls(description.fps, state.dim, action.dim, state.names, action.names, sizes, further)


def check_new_policy(
    config: TrainConfig, description: DatasetDescription, cameras: Sequence[str] | None
) -> None:
    """Check that a new network can be built for a dataset, before anything is decoded.

    Args:
        config: the run's options.
        description: of the dataset.
        cameras: names or keys of the cameras to read; None reads all.

    Raises:
        DatasetError: the dataset lacks what a policy needs.
        DitPolicyError: an option does not fit the data or another option.
    """
    shape = DataShape.described(description, cameras, config.state_features)
    options = new_policy_config(config, shape)
    if config.network != "small":
        check_encoders(options)
    elif shape.image_sizes:
        vision_side(options)


def new_policy_config(config: TrainConfig, data: DataShape) -> PolicyConfig:
    """The configuration of a new policy for the robot of the training data.

    Raises:
        DatasetError: the cameras' sizes differ, and the policy does not resize images.
    """
    state, action = data.state_dim, data.action_dim
    if config.network == "small":
        base = demo_config(data.image_sizes, state, action)
    elif config.network == "pretrained":
        pooling = config.policy.get("image_pooling", "attention")
        base = pretrained_config(data.image_sizes, state, action, pooling)
    else:
        base = PolicyConfig(*robot_features(data))
    base = _with_seconds(base, data.fps)
    base = dataclasses.replace(
        with_vectors(base, data.vectors),
        optimizer_lr=config.learning_rate,
        optimizer_betas=(config.beta1, config.beta2),
        optimizer_weight_decay=config.weight_decay,
        scheduler_warmup_steps=config.warmup_steps,
        vision_encoder_lr_multiplier=config.vision_lr_multiplier,
    )
    given = dict(config.policy)
    data.check_image_sizes(given.get("image_resize_shape", base.image_resize_shape))
    if "state_features" in given:
        raise TrainingError("--policy: state_features: name them with --state-features instead")
    if config.relative_actions:
        given = mean_std_actions(base) | given | {"relative_entries": relative_entries(config, data)}
    mapping = base.to_mapping() | {"drop_n_last_frames": base.drop_n_last_frames} | given
    if base.extensions or set(given) & set(EXTENSIONS):
        mapping["type"] = EXTENDED_TYPE
    return PolicyConfig.from_mapping(mapping, "--policy")


def _with_seconds(base: PolicyConfig, fps: float) -> PolicyConfig:
    """A configuration whose chunks last as long at any rate as its own do at 30 Hz.

    Steps are not seconds: 24 steps are 0.8 s at 30 Hz, but 0.24 s at 100 Hz, less than a plan is long.
    """
    if fps == _STEPS_ARE_FOR:
        return base
    horizon = max(_SHORTEST_HORIZON, round(base.horizon * fps / _STEPS_ARE_FOR))
    longest = horizon - base.n_obs_steps + 1
    played = min(max(1, round(base.n_action_steps * fps / _STEPS_ARE_FOR)), longest)
    return dataclasses.replace(base, horizon=horizon, n_action_steps=played)


def robot_features(data: DataShape) -> tuple[dict[str, Feature], dict[str, Feature]]:
    """A policy's inputs, without further vectors, and its outputs."""
    images = {key: Feature(FeatureType.VISUAL, (3, *size)) for key, size in data.image_sizes.items()}
    state = {STATE_KEY: Feature(FeatureType.STATE, (data.state_dim,))}
    return images | state, {ACTION_KEY: Feature(FeatureType.ACTION, (data.action_dim,))}


def with_vectors(base: PolicyConfig, vectors: Sequence[VectorFeature]) -> PolicyConfig:
    """A configuration with further vectors, typed and normalised as LeRobot would."""
    if not vectors:
        return base
    kinds = {
        each.key: FeatureType.ENV if each.key == ENVIRONMENT_KEY else FeatureType.STATE for each in vectors
    }
    mapping = dict(base.normalization_mapping)
    if FeatureType.ENV in kinds.values():  # LeRobot's default would leave it as it is, in any unit
        mapping.setdefault(FeatureType.ENV.value, mapping[FeatureType.STATE.value])
    features = {each.key: Feature(kinds[each.key], (each.dim,)) for each in vectors}
    return dataclasses.replace(
        base,
        input_features=base.input_features | features,
        state_features=tuple(features),
        normalization_mapping=mapping,
    )


def mean_std_actions(base: PolicyConfig) -> dict[str, Any]:
    """Options that scale actions by their standard deviation, for relative actions.

    Most relative actions are much smaller than the largest. Scaled by their range, the errors of the joints
    would be negligible beside those of the grippers, which are either open or closed.
    """
    mapping = {kind: mode.value for kind, mode in base.normalization_mapping.items()}
    return {
        "normalization_mapping": mapping | {"ACTION": NormalizationMode.MEAN_STD.value},
        "clip_sample": False,
    }


def relative_entries(config: TrainConfig, data: DataShape | Demonstrations) -> list[int]:
    """The action entries that are relative to the state: all joints but ``absolute_joints``.

    The rotation of an end effector stays absolute: the difference of two rotations' entries is no rotation.

    Raises:
        TrainingError: state and action have different joints, or no joint's name has a given part.
    """
    names = data.state_names
    if names is None or names != data.action_names:
        found = {"state": names, "action": data.action_names}
        got = [f"{kind} {', '.join(each) if each else 'without names'}" for kind, each in found.items()]
        raise TrainingError(
            f"--relative-actions: the entries of the action must be those of the state, by name and in the "
            f"same order; got {'; '.join(got)}"
        )
    for part in config.absolute_joints:
        if part and not any(part in name for name in names):
            raise TrainingError(
                f"--absolute-joints: no joint has {part!r} in its name; the joints are {', '.join(names)}. "
                f"To make all joints relative use '--absolute-joints \"\"'"
            )
    absolute = rotation_columns(names)
    return [
        i
        for i, name in enumerate(names)
        if i not in absolute and not any(p and p in name for p in config.absolute_joints)
    ]


def check_reachable(batches: BatchMaker, names: tuple[str, ...] = ()) -> None:
    """TrainingError if sampling would clip demonstrated actions: the policy could never reach them."""
    config = batches.config
    if config.objective != "diffusion" or not config.clip_sample:
        return
    largest = batches.largest_actions()  # (A,)
    beyond = np.flatnonzero(largest > 1.05 * config.clip_sample_range)
    if len(beyond):
        named = ", ".join(names[i] if i < len(names) else f"entry {i}" for i in beyond)
        raise TrainingError(
            f"actions of {named} lie up to {largest.max():.2f} in normalised units, but the policy clips at "
            f"{config.clip_sample_range}: it could not reach them. Normalise by the new data (--statistics "
            f"dataset), or for a new policy choose another normalization_mapping or clip_sample_range"
        )
