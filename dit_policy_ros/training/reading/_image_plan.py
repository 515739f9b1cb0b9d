# SPDX-License-Identifier: Apache-2.0
"""Decides where a run's images come from: memory, a frame store, a frozen encoder's features, or videos.

Decoding each image once and keeping it is the fastest; it is chosen as long as there is room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object

from dit_policy_ros.data.dataset import FrameStore, read_info
from dit_policy_ros.data.description import choose_cameras, describe_dataset
from dit_policy_ros.data.memory import available_memory
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError

_SHARE = 0.8  # of the free memory: the network and its optimiser need some as well
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # the same for all processes of a machine


class ImagePlace(StrEnum):
    """Where the images of a training step are read."""

    MEMORY = "memory"
    FILES = "files"  # of the frame store
    FEATURES = "features"  # of a frozen vision encoder, which reads every image once
    VIDEOS = "videos"  # streaming: decoded anew for each batch


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """The place of the images, and a sentence that says which and why."""

    place: ImagePlace
    reason: str


def plan_images(
    config: TrainConfig,
    cameras: Sequence[str] | Mapping[str, Sequence[str]] | None,
    size: tuple[int, int] | None,
    keeps_features: bool,
    processes: int = 1,
) -> ImagePlan:
    """Where the images of a run come from on this machine.

    Args:
        config: of the run.
        cameras: names or keys, or by dataset; None chooses all that a policy can read.
        size: (height, width) to which images are resized; None keeps their size.
        keeps_features: whether a frozen vision encoder reads every image once.
        processes: of the run on this machine; each keeps images in its own memory.

    Raises:
        TrainingError: there is no room for the images, and ``stream`` is false.
        DatasetError: a folder is no dataset, or lacks a camera.
    """
    count, needed = _images(config, cameras, size)
    if not count:
        return ImagePlan(ImagePlace.MEMORY, "no images are read")
    amount = f"{count} images, {needed / 1e9:.1f} GB decoded"
    if config.stream:
        return ImagePlan(ImagePlace.VIDEOS, f"{amount}: streamed from the dataset's files, as --stream says")
    if keeps_features:
        reason = f"{amount}: read once by the frozen vision encoder, and not kept"
        if config.frame_store:
            reason += f"; their features are, in the frame store {frame_store(config).folder}"
        return ImagePlan(ImagePlace.FEATURES, reason)
    if config.frame_store:
        store = frame_store(config)
        free = store.room()
        if needed <= free:
            return ImagePlan(ImagePlace.FILES, f"{amount}: kept in the frame store {store.folder}")
        why = f"the frame store's disk has room for {free / 1e9:.1f} GB"
    else:
        free = int(_SHARE * available_memory())
        if needed * processes <= free:
            return ImagePlan(ImagePlace.MEMORY, f"{amount}: kept in memory")
        each = f" for each of the {processes} processes here" if processes > 1 else ""
        why = f"memory has room for {free / processes / 1e9:.1f} GB{each}"
    if config.stream is False:
        raise TrainingError(
            f"{amount}, but {why}, and --no-stream forbids streaming. Remove --no-stream, give --frame-store "
            f"a folder on a larger disk, or make the images smaller (--policy image_resize_shape)"
        )
    return ImagePlan(
        ImagePlace.VIDEOS,
        f"{amount}: streamed from the dataset's files, because {why}. --frame-store FOLDER on a larger disk, "
        f"or smaller images (--policy image_resize_shape), train faster",
    )


def frame_store(config: TrainConfig) -> FrameStore:
    """Where a run keeps decoded images, or their features: in a folder or in memory."""
    return FrameStore(Path(config.frame_store) if config.frame_store else None)


def agree(accelerator: Accelerator, plan: ImagePlan) -> ImagePlan:
    """The plan of all processes: if one has to stream, all do."""
    plans = gather_object([(plan.place, plan.reason)])
    for place, reason in plans:
        if place == ImagePlace.VIDEOS:
            return ImagePlan(ImagePlace.VIDEOS, reason)
    return plan


def processes_here(accelerator: Accelerator) -> int:
    """How many processes of the run share this machine's memory, this one included."""
    machine = _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else ""
    return gather_object([machine]).count(machine)


def can_cache_features(config: TrainConfig, policy: PolicyConfig) -> bool:
    """Whether an image's features are the same at every step, so that they need computing only once.

    They are if the vision encoder is frozen and images are not varied. Features of every patch are too many
    to keep.
    """
    varies = config.augmentation > 0 or (policy.crop_shape is not None and policy.image_crop_is_random)
    every_patch = policy.conditioning != "adaln" and policy.image_tokens == "all"
    return bool(policy.image_features) and config.vision_lr_multiplier == 0 and not varies and not every_patch


def _images(
    config: TrainConfig,
    cameras: Sequence[str] | Mapping[str, Sequence[str]] | None,
    size: tuple[int, int] | None,
) -> tuple[int, int]:
    """Number of images, and how much they take when decoded [byte]."""
    count = needed = 0
    for folder in config.dataset:
        description = describe_dataset(Path(folder))
        frames = int(read_info(Path(folder))["total_frames"])
        wanted = cameras[str(description.root)] if isinstance(cameras, Mapping) else cameras
        for camera in choose_cameras(description.cameras, wanted, description.source):
            height, width = size or (camera.height, camera.width)
            count, needed = count + frames, needed + frames * height * width * 3
    return count, needed
