# SPDX-License-Identifier: Apache-2.0
"""Refuses a checkpoint of another robot than the data's, before anything is decoded."""

from collections.abc import Sequence

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY, camera_names
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.description import DatasetDescription
from dit_policy_ros.policy.checkpoint import Checkpoint
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy._new_policy import DataShape

REMEDY = (
    "If the data are of another robot, --adapt keeps the vision, text and transformer weights and makes the "
    "layers of joints and cameras anew"
)


def check_described(
    description: DatasetDescription, cameras: Sequence[str] | None, checkpoint: Checkpoint
) -> None:
    """Check by its description that a dataset is of the robot that the checkpoint was trained on.

    Args:
        description: of the dataset.
        cameras: names or keys of the cameras to read; None reads all.
        checkpoint: to start from.

    Raises:
        TrainingError: it is of another robot, or lacks a camera or a vector that the checkpoint reads.
        DatasetError: the dataset lacks what a policy needs.
    """
    description.state_and_action()
    try:
        shape = DataShape.described(description, cameras, checkpoint.config.state_features)
    except DatasetError as error:
        raise TrainingError(f"--init {checkpoint.folder}: {error}. {REMEDY}") from error
    check_same_robot(shape, checkpoint)


def check_same_robot(data: DataShape, checkpoint: Checkpoint) -> None:
    """TrainingError if the checkpoint was trained on other entries or images than the data have, or at
    another rate."""
    facts, config, init = checkpoint.facts, checkpoint.config, f"--init {checkpoint.folder}"
    dims = {STATE_KEY: data.state_dim, **{vector.key: vector.dim for vector in data.vectors}}
    for kind, trained, names, entries, found in (
        ("state", facts.joint_names, data.state_names, config.state_parts[STATE_KEY], data.state_dim),
        (ACTION_KEY, facts.named_actions, data.action_names, config.action_dim, data.action_dim),
        *(
            (each.key, facts.vector_names.get(each.key), each.names, config.state_parts[each.key], each.dim)
            for each in data.vectors
            if each.key in config.state_parts
        ),
    ):
        if trained is not None and names is not None and trained != names:
            raise TrainingError(
                f"{init}: its {kind} has the entries {', '.join(trained)}; the dataset's "
                f"are {', '.join(names)}. The order matters: record or convert the data in the same order. "
                f"{REMEDY}"
            )
        if entries != found:
            raise TrainingError(
                f"{init}: its {kind} has {entries} entries, the dataset's has {found}. {REMEDY}"
            )
    if list(dims) != list(config.state_parts):
        raise TrainingError(
            f"{init}: its state consists of {listing(config.state_parts)}, that of the data of "
            f"{listing(dims)}. {REMEDY}"
        )
    if facts.fps is not None and facts.fps != data.fps:
        raise TrainingError(
            f"{init}: its step is 1/{facts.fps:g} s; the dataset has {data.fps:g} Hz. {REMEDY}"
        )
    names = camera_names(config.image_features)
    for key, feature in config.image_features.items():
        expected, got = tuple(feature.shape[1:]), data.image_sizes.get(key)
        if got is None:
            present = listing(camera_names(data.image_sizes).values())
            raise TrainingError(f"{init}: it reads camera {names[key]}; the data have: {present}. {REMEDY}")
        if got != expected:
            raise TrainingError(
                f"{init}: camera {names[key]}: it reads images of {expected[1]}x{expected[0]} pixels, the "
                f"dataset's have {got[1]}x{got[0]}. {REMEDY}"
            )
