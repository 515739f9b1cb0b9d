# SPDX-License-Identifier: Apache-2.0
"""The demonstrations of each robot, and all of them as one list of frames to draw from.

Shapes: M frames of all robots.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX
from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.unified import RobotLayout
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import DataShape, new_policy_config
from dit_policy_ros.training.unified._plan import RobotPlan


@dataclass(frozen=True, slots=True)
class RobotData:
    """A robot with its demonstrations, whose cameras have their shared names.

    config: of the policy that only this robot would have. layout: its entries in the network.
    """

    plan: RobotPlan
    data: Demonstrations
    config: PolicyConfig
    layout: RobotLayout

    def own_config(self) -> PolicyConfig:
        """The options of its ordinary checkpoint, with the cameras' own keys."""
        shared = {IMAGE_PREFIX + name: camera.key for name, camera in self.plan.cameras.items()}
        inputs = {shared.get(key, key): feature for key, feature in self.config.input_features.items()}
        return dataclasses.replace(self.config, input_features=inputs)


def read_robot(
    config: TrainConfig,
    plan: RobotPlan,
    slots: Sequence[str],
    read: Callable[[tuple[str, ...], tuple[str, ...]], Demonstrations],
) -> RobotData:
    """Read the demonstrations of a robot.

    Args:
        config: the run's options.
        plan: the robot.
        slots: of all robots, in the network's order.
        read: reads datasets, given their folders and the keys of the cameras.
    """
    data = read(plan.folders, tuple(camera.key for camera in plan.cameras.values()))
    shared = {camera.name: name for name, camera in plan.cameras.items()}
    keys = {camera.key: IMAGE_PREFIX + name for name, camera in plan.cameras.items()}
    data = dataclasses.replace(
        data,
        image_shapes={shared[name]: size for name, size in data.image_shapes.items()},
        images={shared[name]: images for name, images in data.images.items()},
        videos={shared[name]: video for name, video in data.videos.items()},
        camera_keys={},
        stats={keys.get(key, key): stats for key, stats in data.stats.items()},
    )
    layout = RobotLayout.of(plan.state_slots, plan.action_slots, slots)
    return RobotData(plan, data, robot_config(config, DataShape.of(data)), layout)


def robot_config(config: TrainConfig, shape: DataShape) -> PolicyConfig:
    """The options of the policy that only this robot would have; TrainingError or CheckpointError."""
    return new_policy_config(options_for(config, shape.state_names or ()), shape)


def options_for(config: TrainConfig, joints: Sequence[str]) -> TrainConfig:
    """The run's options for one robot: of ``absolute_joints`` those that it has."""
    parts = tuple(part for part in config.absolute_joints if any(part in joint for joint in joints))
    return dataclasses.replace(config, absolute_joints=parts)


def all_demonstrations(robots: Sequence[RobotData]) -> Demonstrations:
    """The frames of all robots, in their order. State and action are 0: they are in the robots' own data."""
    parts = [robot.data for robot in robots]
    tasks = tuple(dict.fromkeys(task for part in parts for task in part.tasks))
    rows = np.cumsum([0, *(len(part.state) for part in parts)]).tolist()
    episodes = np.cumsum([0, *(int(part.episode_index[-1]) + 1 for part in parts)]).tolist()
    nothing = np.broadcast_to(np.float32(0.0), (rows[-1], 1))  # takes no memory
    return Demonstrations(
        fps=parts[0].fps,
        state_names=None,
        action_names=None,
        image_shapes={},
        tasks=tasks,
        images={},
        state=nothing,
        action=nothing,
        task_index=np.concatenate(
            [np.array([tasks.index(task) for task in part.tasks])[part.task_index] for part in parts]
        ),
        episode_index=np.concatenate(
            [part.episode_index + first for part, first in zip(parts, episodes, strict=False)]
        ),
        stats={},
        sources=tuple(
            dataclasses.replace(
                source, first_frame=source.first_frame + row, first_episode=source.first_episode + episode
            )
            for part, row, episode in zip(parts, rows, episodes, strict=False)
            for source in part.sources
        ),
        failed=_marks([part.failed for part in parts], parts),
        flagged=_marks([part.flagged for part in parts], parts),
        flagged_images=_marks([part.flagged_images for part in parts], parts),
        corrected=_marks([part.corrected for part in parts], parts),
    )


def _marks(marks: Sequence[NDArray[np.bool_] | None], parts: Sequence[Demonstrations]) -> NDArray[np.bool_]:
    """Marks of all frames (M,); where none are known, nothing is marked."""
    return np.concatenate(
        [
            np.zeros(len(part.state), bool) if mark is None else mark
            for mark, part in zip(marks, parts, strict=True)
        ]
    )
