# SPDX-License-Identifier: Apache-2.0
"""A dataset's cameras: their size in either order of axes, and the choice of those that a policy reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import camera_names

_CHANNEL_WORDS = ("channel", "channels", "c", "rgb")
_CHANNEL_COUNTS = (1, 3, 4)
_UNITS = ("mm", "m")
CAMERA_TYPES = ("video", "image")


@dataclass(frozen=True, slots=True)
class CameraFeature:
    """One camera of a dataset.

    key: the feature's key. name: how people, options and the robot call it. height, width [pixel].
    stored_as: "video" for MP4 files, "image" for one image per row. problem: why a policy cannot read it;
    empty if it can. depth_unit: of a depth camera whose dataset says it, "mm" or "m".
    """

    key: str
    name: str
    height: int
    width: int
    stored_as: str
    problem: str = ""
    depth_unit: str = ""


def read_camera(key: str, feature: Mapping[str, Any]) -> CameraFeature:
    """A camera from its entry in info.json."""
    shape, names = feature.get("shape"), feature.get("names")
    stored_as, name = feature["dtype"], key
    if not (isinstance(shape, Sequence) and len(shape) == 3 and all(isinstance(n, int) for n in shape)):
        return CameraFeature(key, name, 0, 0, stored_as, f"its shape is {_show(shape)}, not that of an image")
    axis = _channel_axis(shape, names)
    if axis is None:
        problem = f"its shape {_show(shape)} has no axis of 1, 3 or 4 channels"
        return CameraFeature(key, name, 0, 0, stored_as, problem)
    height, width = (shape[1], shape[2]) if axis == 0 else (shape[0], shape[1])
    problem = ""
    if _is_depth(feature):
        problem = "it is a depth camera, and a policy reads RGB"
        info = feature.get("info")
        unit = info.get("depth_unit") if isinstance(info, Mapping) else ""
        return CameraFeature(key, name, height, width, stored_as, problem, unit if unit in _UNITS else "")
    if shape[axis] != 3:
        problem = f"it has {shape[axis]} channels, and a policy reads the 3 of RGB"
    return CameraFeature(key, name, height, width, stored_as, problem)


def _channel_axis(shape: Sequence[int], names: Any) -> int | None:
    """The axis of the colours, 0 or 2: as the names say, unless the shape shows that they are wrong."""
    possible = [axis for axis in (2, 0) if shape[axis] in _CHANNEL_COUNTS]
    if isinstance(names, Sequence) and not isinstance(names, str) and len(names) == 3:
        named = [axis for axis in possible if str(names[axis]).lower() in _CHANNEL_WORDS]
        if named:
            return named[0]
    return possible[0] if possible else None


def _is_depth(feature: Mapping[str, Any]) -> bool:
    """Whether LeRobot marks it as depth: in ``info``, or in ``video_info`` of older versions."""
    marks = [feature.get("info"), feature.get("video_info")]
    return any(
        mark.get("is_depth_map") or mark.get("video.is_depth_map")
        for mark in marks
        if isinstance(mark, Mapping)
    )


def with_names(cameras: Sequence[CameraFeature]) -> tuple[CameraFeature, ...]:
    """The cameras, named as ``camera_names`` names their keys."""
    names = camera_names(camera.key for camera in cameras)
    return tuple(replace(camera, name=names[camera.key]) for camera in cameras)


def choose_cameras(
    cameras: Sequence[CameraFeature], wanted: Sequence[str] | None, source: str
) -> tuple[CameraFeature, ...]:
    """The cameras that a policy will read.

    Args:
        cameras: those of the dataset.
        wanted: names or keys, in the order that the policy will have; None chooses all that can be read.
        source: the dataset, for messages.

    Raises:
        DatasetError: a wanted camera is not there or cannot be read, or their sizes differ.
    """
    readable = [camera for camera in cameras if not camera.problem]
    if wanted is None:
        chosen = readable
    else:
        known = {text: camera for camera in cameras for text in (camera.key, camera.name)}
        missing = [name for name in wanted if name not in known]
        if missing:
            present = ", ".join(camera.name for camera in readable) or "none"
            raise DatasetError(
                f"{source}: no images of camera {', '.join(sorted(missing))}; present: {present}"
            )
        chosen = list(dict.fromkeys(known[name] for name in wanted))
        unreadable = [f"camera {camera.name}: {camera.problem}" for camera in chosen if camera.problem]
        if unreadable:
            present = " ".join(camera.name for camera in readable) or "none"
            raise DatasetError(
                f"{source}: {'; '.join(unreadable)}. Choose others with --cameras; readable: {present}"
            )
    return with_names(chosen)


def check_one_size(sizes: Mapping[str, tuple[int, int]], source: str) -> None:
    """Raises DatasetError if the cameras' sizes differ, for a network to which images come as they are.

    Args:
        sizes: (height, width) [pixel] by the camera's name.
        source: the dataset, for messages.
    """
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {width}x{height}" for name, (height, width) in sizes.items())
        raise DatasetError(
            f"{source}: the cameras have different sizes ({listed}; width x height), and a network reads "
            f"images of one size. Resize them: --policy image_resize_shape=[HEIGHT,WIDTH]; or choose cameras "
            f"of one size with --cameras"
        )


def _show(shape: Any) -> str:
    return str(tuple(shape)) if isinstance(shape, list) else str(shape)
