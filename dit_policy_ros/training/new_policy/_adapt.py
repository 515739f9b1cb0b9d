# SPDX-License-Identifier: Apache-2.0
"""Starts a policy for one robot from the checkpoint of another: what is kept, and what is made anew."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY, camera_names
from dit_policy_ros.core.problems import Problems, listing
from dit_policy_ros.policy.checkpoint import Checkpoint
from dit_policy_ros.policy.config import EXTENDED_TYPE, EXTENSIONS, PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import image_size_error
from dit_policy_ros.policy.processing import Stats
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy._new_policy import (
    DataShape,
    mean_std_actions,
    relative_entries,
    robot_features,
    with_vectors,
)
from dit_policy_ros.training.new_policy._transfer import PARTS, Same, transfer_weights

_OF_THE_ROBOT = ("input_features", "output_features", "state_features", "relative_entries")
_OF_THE_RUN = (
    "horizon", "n_action_steps", "drop_n_last_frames", "dropout", "do_mask_loss_for_padding",
    "noise_scheduler_type", "num_inference_steps", "num_integration_steps", "integration_method",
    "clip_sample", "clip_sample_range", "image_resize_shape", "image_crop_shape", "image_crop_is_random",
    "normalization_mapping", "vision_encoder_lr_multiplier", "optimizer_lr", "optimizer_betas",
    "optimizer_eps", "optimizer_weight_decay", "scheduler_name", "scheduler_warmup_steps", "device",
    "trained_delay", "use_amp", "push_to_hub", "repo_id", "private", "tags", "license",
)  # fmt: skip
"""Options that may differ from the checkpoint's: no weight that is kept depends on them.

With ``trained_delay`` a row has one more entry, whose weights are new.
"""


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What an adapted policy has of the other robot's.

    source: the checkpoint's folder name. same: what means the same for both robots. weights: by part of the
    network, how many are kept and how many are new. differences: between the two robots, as sentences.
    """

    source: str
    same: Same
    weights: Mapping[str, tuple[int, int]]
    differences: tuple[str, ...]

    def kept_statistics(self, stats: Stats, config: TrainConfig) -> Stats | None:
        """The checkpoint's statistics that its kept weights need; None if the data's are to be used alone."""
        if config.statistics != "checkpoint":
            return None
        kept = {key for key in self._kept_keys(stats) if key in stats}
        return {key: stats[key] for key in stats if key in kept} or None

    def _kept_keys(self, stats: Stats) -> Iterator[str]:
        yield from self.same.cameras
        if self.same.action:
            yield ACTION_KEY
        if self.same.state:
            yield from (key for key in stats if key != ACTION_KEY and key not in self.same.cameras)

    def lines(self) -> tuple[str, ...]:
        """What was kept and what was made anew, for people."""
        weights = [
            f"{PARTS[part]}: {kept:,} weights kept, {new:,} made anew"
            for part, (kept, new) in self.weights.items()
            if kept or new
        ]
        return (*self.differences, *weights)

    def to_mapping(self) -> dict[str, Any]:
        """The same as plain values, for files."""
        return {
            "checkpoint": self.source,
            "differences": list(self.differences),
            "weights": {part: {"kept": kept, "new": new} for part, (kept, new) in self.weights.items()},
        }


def adapt(config: TrainConfig, data: DataShape, checkpoint: Checkpoint) -> tuple[DiTPolicy, Adaptation]:
    """A policy for the robot of the data, with the weights of another robot's wherever they fit.

    New weights come from torch's global generator.

    Args:
        config: the run's options.
        data: the shape of the data.
        checkpoint: of the other robot.

    Raises:
        TrainingError: an option differs with which weights cannot be kept.
        CheckpointError: an option of the policy is unknown or invalid.
    """
    options = adapted_config(config, data, checkpoint)
    same = _same(options, data, checkpoint)
    policy = DiTPolicy(options, checkpoint.encoder_files.vision, checkpoint.encoder_files.text)
    weights = transfer_weights(checkpoint.policy, policy, same)
    differences = tuple(_differences(options, data, checkpoint, same))
    return policy, Adaptation(checkpoint.folder.name, same, weights, differences)


def adapted_config(config: TrainConfig, data: DataShape, checkpoint: Checkpoint) -> PolicyConfig:
    """The options of the adapted policy: the checkpoint's, with the joints and cameras of the data.

    Raises: as ``adapt``.
    """
    before = checkpoint.config
    if data.image_sizes and not before.image_features:
        raise TrainingError(
            f"--adapt: cameras: {checkpoint.folder} has none, so that it has no vision encoder to keep. "
            f"Leave --cameras out to read the state only, or train a new network without --init"
        )
    inputs, outputs = robot_features(data)
    bare = dataclasses.replace(
        before, input_features=inputs, output_features=outputs, state_features=(), relative_entries=()
    )
    base, given = with_vectors(bare, data.vectors), dict(config.policy)
    if config.relative_actions and not before.relative_entries:
        given = mean_std_actions(base) | given
    if config.relative_actions or (before.relative_entries and _has_equal_names(data)):
        given["relative_entries"] = relative_entries(config, data)
    data.check_image_sizes(given.get("image_resize_shape", base.image_resize_shape))
    mapping = base.to_mapping() | given
    follows = before.to_mapping()["drop_n_last_frames"] == _default_drop(before)
    if follows and "drop_n_last_frames" not in given:
        mapping["drop_n_last_frames"] = None
    if base.extensions or set(given) & set(EXTENSIONS):
        mapping["type"] = EXTENDED_TYPE
    options = PolicyConfig.from_mapping(mapping, "--policy")
    _check_kept(options, checkpoint)
    return options


def _check_kept(options: PolicyConfig, checkpoint: Checkpoint) -> None:
    """TrainingError lists the options with which the checkpoint's weights cannot be kept."""
    problems = Problems("")
    free = {*_OF_THE_ROBOT, *_OF_THE_RUN}
    for name in (field.name for field in dataclasses.fields(options)):
        was, now = getattr(checkpoint.config, name), getattr(options, name)
        if was != now and name not in free:
            problems.add(name, f"{was!r}, which the checkpoint was trained with", f"{now!r}")
    if options.use_positional_encoding and options.horizon != checkpoint.config.horizon:
        problems.add(
            "horizon", f"{checkpoint.config.horizon}, with its positional encoding", f"{options.horizon}"
        )
    for key, feature in options.image_features.items():
        size = options.crop_shape or options.image_resize_shape or feature.shape[1:]
        if problem := image_size_error(checkpoint.encoder_files.vision, (size[0], size[1])):
            problems.add_line(
                f"image_resize_shape: {key} would reach the vision encoder as {size[0]}x{size[1]} pixels "
                f"(height x width), but {problem}; set image_resize_shape or image_crop_shape with --policy"
            )
    problems.raise_if_any(
        TrainingError,
        f"--adapt cannot keep the weights of {checkpoint.folder} with other options than its own; train a "
        f"new network without --init if you need them",
    )


def _default_drop(options: PolicyConfig) -> int:
    return dataclasses.replace(options, drop_n_last_frames=None).to_mapping()["drop_n_last_frames"]


def _has_equal_names(data: DataShape) -> bool:
    return data.state_names is not None and data.state_names == data.action_names


def _same(options: PolicyConfig, data: DataShape, checkpoint: Checkpoint) -> Same:
    """What means the same: entries with the same names in the same order, cameras with the same key."""
    before, facts = checkpoint.config, checkpoint.facts
    further = {vector.key: vector.names for vector in data.vectors}
    state = facts.joint_names is not None and facts.joint_names == data.state_names
    state &= list(options.state_parts.items()) == list(before.state_parts.items())
    state &= all(facts.vector_names.get(key) == names for key, names in further.items())
    action = facts.named_actions is not None and facts.named_actions == data.action_names
    action &= options.relative_entries == before.relative_entries
    cameras = tuple(key for key in options.image_features if key in before.image_features)
    return Same(state, action, cameras)


def _differences(options: PolicyConfig, data: DataShape, checkpoint: Checkpoint, same: Same) -> Iterator[str]:
    before, facts = checkpoint.config, checkpoint.facts
    for kind, is_same, was, now, dims in (
        (STATE_KEY, same.state, facts.joint_names, data.state_names, (before.state_dim, options.state_dim)),
        (
            ACTION_KEY,
            same.action,
            facts.named_actions,
            data.action_names,
            (before.action_dim, options.action_dim),
        ),
    ):
        if is_same:
            yield f"{kind}: the same entries; its layers are kept"
        else:
            yield f"{kind}: {_entries(was, dims[0])} before, {_entries(now, dims[1])} now; its layers are new"
    if further := [vector.key for vector in data.vectors]:
        yield f"further vectors in the state: {', '.join(further)}"
    names, known = camera_names(options.image_features), same.cameras
    yield (
        f"cameras kept: {listing(names[key] for key in known)}; new: "
        f"{listing(names[key] for key in names if key not in known)}; no longer read: "
        f"{listing(name for key, name in camera_names(before.image_features).items() if key not in names)}"
    )
    if facts.fps is not None and facts.fps != data.fps:
        yield (
            f"rate: {facts.fps:g} Hz before, {data.fps:g} Hz now; {options.horizon} steps are "
            f"{options.horizon / data.fps:.2g} s (--policy horizon=N)"
        )
    if before.trained_delay != options.trained_delay:
        yield f"trained_delay: {before.trained_delay} before, {options.trained_delay} now"
    if bool(before.relative_entries) != bool(options.relative_entries):
        relative = "relative to the state" if options.relative_entries else "absolute"
        yield f"actions are {relative}, the checkpoint's are not"


def _entries(names: tuple[str, ...] | None, dim: int) -> str:
    return f"{dim} entries ({', '.join(names)})" if names else f"{dim} entries without names"
