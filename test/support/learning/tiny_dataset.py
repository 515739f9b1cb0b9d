# SPDX-License-Identifier: Apache-2.0
"""LeRobotDatasets on disk with the tiny demonstrations, and policies of their shape."""

from pathlib import Path
from typing import Any

from tiny_demonstrations import tiny_demonstrations
from tiny_policy import ACTION_DIM, IMAGE, TASKS, save_tiny, tiny_config

from dit_policy_ros.core.contract import Camera, Vector
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import DatasetWriter, EpisodeOutcome
from dit_policy_ros.policy.config import Feature, FeatureType, PolicyConfig

JOINTS = ("a", "b", "c", "d")
FPS = 30.0


def write_tiny_dataset(
    folder: Path,
    episodes: int = 4,
    length: int = 12,
    seed: int = 0,
    joints: tuple[str, ...] = JOINTS,
    tasks: tuple[str, ...] = TASKS,
    failures: tuple[int, ...] = (),
    vectors: tuple[Vector, ...] = (),
) -> Path:
    """Record ``tiny_demonstrations`` as a LeRobotDataset v3; the state has one entry per joint.

    A further vector has the action's first entries times 100.
    """
    data = tiny_demonstrations(episodes, length, seed)
    camera = Camera("cam0", "/cam0", *IMAGE, max_age=0.5)
    writer = DatasetWriter(folder, DatasetSpec(FPS, (camera,), joints, "test", vectors))
    for episode in range(episodes):
        for frame in range(episode * length, (episode + 1) * length):
            action = data.action[frame, : len(joints)]
            state = data.state[frame, : len(joints)]
            writer.add_frame(
                {"cam0": data.images["cam0"][frame]},
                state,
                action,
                tasks[data.task_index[frame]],
                vectors={each.name: 100 * data.action[frame, : each.size] for each in vectors},
            )
        writer.save_episode(EpisodeOutcome(success=episode not in failures))
    writer.finalize()
    return folder


def dataset_config(**options: Any) -> PolicyConfig:
    """The configuration of a tiny policy that reads such a dataset."""
    camera = {"observation.images.cam0": Feature(FeatureType.VISUAL, (3, *IMAGE))}
    state = {"observation.state": Feature(FeatureType.STATE, (ACTION_DIM,))}
    sampling = {"noise_scheduler_type": "DDIM", "num_inference_steps": 4, "prediction_type": "sample"}
    return tiny_config(input_features={**camera, **state}, **(sampling | options))


def save_for_dataset(folder: Path, **options: Any) -> Path:
    """Save a checkpoint of a random tiny policy that reads such a dataset."""
    return save_tiny(folder, dataset_config(**options))
