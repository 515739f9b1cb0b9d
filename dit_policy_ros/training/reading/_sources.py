# SPDX-License-Identifier: Apache-2.0
"""The datasets of a run: checked by their description, then read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from dit_policy_ros.data.dataset import Demonstrations, read_demonstrations, record_notices
from dit_policy_ros.data.description import DatasetDescription, describe_dataset
from dit_policy_ros.policy.checkpoint import Checkpoint
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import (
    DataShape,
    adapted_config,
    check_described,
    check_new_policy,
    image_read_size,
)
from dit_policy_ros.training.reading._image_plan import (
    ImagePlace,
    ImagePlan,
    agree,
    can_cache_features,
    frame_store,
    plan_images,
    processes_here,
)
from dit_policy_ros.training.reading._observer import TrainObserver
from dit_policy_ros.training.together import together
from dit_policy_ros.training.unified import RobotData, RobotPlan, options_for, plan_robots, read_robot


@dataclass(frozen=True, slots=True)
class Sources:
    """The datasets of one run.

    Attributes:
        config: the run's options.
        checkpoint: of ``config.init``; None for a new policy.
        output: the run's folder.
        accelerator: of the run.
        observer: receives the progress.
    """

    config: TrainConfig
    checkpoint: Checkpoint | None
    output: Path
    accelerator: Accelerator
    observer: TrainObserver

    def read(self) -> Demonstrations:
        """Read the datasets of one robot.

        Raises:
            DitPolicyError: they do not fit to one another, to the checkpoint or to an option.
        """
        config, checkpoint = self.config, self.checkpoint
        cameras, vectors = config.cameras or None, config.state_features
        if checkpoint is not None and not config.adapt:
            cameras = cameras or tuple(checkpoint.config.image_features)
            vectors = checkpoint.config.state_features
        elif checkpoint is not None and not checkpoint.config.image_features and not cameras:
            cameras = ()  # no encoder to keep: the state only
        for number, folder in enumerate(config.dataset):
            description = describe_dataset(Path(folder))
            if not number or checkpoint is not None:
                self._check_described(description, cameras)
            self._describe(description, vectors)
        return self._read(config.dataset, cameras, self._plan_images(cameras), vectors)

    def read_robots(self) -> tuple[tuple[RobotData, ...], tuple[str, ...]]:
        """Read the datasets of several robots; returns them and their slots, in the network's order.

        Raises:
            DitPolicyError: an entry has no slot, or the datasets do not fit to one another or to an option.
        """
        plans, slots = plan_robots(self.config)
        for plan in plans:
            for folder in plan.folders:
                self._describe(describe_dataset(Path(folder)), ())
            self._check_robot(plan)
        self.observer.on_robots([line for plan in plans for line in plan.lines()])
        cameras = {
            folder: tuple(camera.key for camera in plan.cameras.values())
            for plan in plans
            for folder in plan.folders
        }
        images = self._plan_images(cameras)

        def read(folders: tuple[str, ...], keys: tuple[str, ...]) -> Demonstrations:
            return self._read(folders, keys, images, ())

        return tuple(read_robot(self.config, plan, slots, read) for plan in plans), slots

    def _describe(self, description: DatasetDescription, vectors: Sequence[str]) -> None:
        notices = (*description.notices(vectors), *record_notices(description.root))
        self.observer.on_described(description.source, notices)

    def _check_described(self, description: DatasetDescription, cameras: Sequence[str] | None) -> None:
        """Check by its description that a policy can be trained on a dataset, before anything is decoded."""
        config, checkpoint = self.config, self.checkpoint
        if checkpoint is None:
            check_new_policy(config, description, cameras)
        elif config.adapt:
            shape = DataShape.described(description, cameras, config.state_features)
            adapted_config(config, shape, checkpoint)
        else:
            check_described(description, cameras, checkpoint)

    def _check_robot(self, plan: RobotPlan) -> None:
        keys = [camera.key for camera in plan.cameras.values()]
        joints = plan.description.state_and_action()[0].names or ()
        check_new_policy(options_for(self.config, joints), plan.description, keys)

    def _plan_images(self, cameras: Sequence[str] | Mapping[str, Sequence[str]] | None) -> ImagePlan:
        config, checkpoint = self.config, self.checkpoint
        keeps_features = checkpoint is not None and can_cache_features(config, checkpoint.config)
        here, size = processes_here(self.accelerator), image_read_size(config, checkpoint)
        plan = agree(self.accelerator, plan_images(config, cameras, size, keeps_features, here))
        self.observer.on_images(plan.reason)
        return plan

    def _read(
        self,
        folders: Sequence[str],
        cameras: Sequence[str] | None,
        images: ImagePlan,
        vectors: Sequence[str],
    ) -> Demonstrations:
        data = together(
            self.accelerator,
            lambda: read_demonstrations(
                folders,
                None if cameras is None else tuple(cameras),
                image_read_size(self.config, self.checkpoint),
                self.observer.on_read,
                frame_store(self.config),
                keep_images=images.place != ImagePlace.FEATURES,
                stream=images.place == ImagePlace.VIDEOS,
                scratch=self.output if images.place == ImagePlace.VIDEOS else None,
                vectors=vectors,
            ),
        )
        assert data is not None  # every process has read it
        return data
