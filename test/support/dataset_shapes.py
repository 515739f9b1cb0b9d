# SPDX-License-Identifier: Apache-2.0
"""Small datasets of the shapes that other people's programs write, made by LeRobot's own writer.

Brightness of an image and values of the vectors tell episode and frame, so that a test sees which row it has.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.data.lerobot_calls import quiet_lerobot

EPISODES, FRAMES = 2, 6
HEIGHT, WIDTH = 48, 64
HWC, CHW = ("height", "width", "channels"), ("channels", "height", "width")
TASK = "touch the cube"


def vector(dim: int, names: Any = None, dtype: str = "float32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": (dim,), "names": names}


def camera(
    dtype: str = "video", shape: tuple[int, ...] = (HEIGHT, WIDTH, 3), names: Any = HWC
) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "names": list(names) if names else names}


STATE, ACTION, TOP = "observation.state", "action", "observation.images.top"
ABC = ["left_a", "left_b", "left_c", "right_a", "right_b", "right_c"]
SWAPPED = ABC[3:] + ABC[:3]


@dataclass(frozen=True)
class Shape:
    """features: beside one video camera `top` (unless cameras are given) and a state and action of 6 joints.

    remove: features that it has not.
    """

    features: Mapping[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    fps: int | float = 10

    def all_features(self) -> dict[str, Any]:
        usual = {STATE: vector(6, ABC), ACTION: vector(6, ABC), TOP: camera()}
        return {key: each for key, each in (usual | dict(self.features)).items() if key not in self.remove}


SHAPES: dict[str, Shape] = {
    "usual": Shape(),
    "swapped_arms": Shape({ACTION: vector(6, SWAPPED)}),
    "reversed_action": Shape({ACTION: vector(6, ABC[::-1])}),
    "same_dim_other_names": Shape({ACTION: vector(6, ["x", "y", "z", "roll", "pitch", "yaw"])}),
    "image": Shape({TOP: camera("image")}),
    "image_obs": Shape({"observation.image": camera("image")}, (TOP,)),
    "obs_image": Shape({"observation.image": camera()}, (TOP,)),
    "images_and_video": Shape({"observation.images.wrist": camera("image")}),
    "channel_first": Shape({TOP: camera("video", (3, HEIGHT, WIDTH), CHW)}),
    "channel_first_image": Shape({TOP: camera("image", (3, HEIGHT, WIDTH), CHW)}),
    "old_channel_word": Shape({TOP: camera(names=("height", "width", "channel"))}),
    "state_action_differ": Shape(
        {
            STATE: vector(9, [f"joint{i}" for i in range(9)]),
            ACTION: vector(7, [f"joint{i}" for i in range(7)]),
        }
    ),
    "libero_like": Shape(
        {
            STATE: vector(8, {"motors": ["x", "y", "z", "rx", "ry", "rz", "finger_1", "finger_2"]}),
            ACTION: vector(7, {"motors": ["x", "y", "z", "rx", "ry", "rz", "gripper"]}),
            "observation.images.image": camera("image"),
            "observation.images.wrist_image": camera("image"),
        },
        (TOP,),
    ),
    "names_in_a_list": Shape({STATE: vector(6, [ABC]), ACTION: vector(6, [ABC])}),
    "names_by_group": Shape(
        {key: vector(6, {"motors": {"left": ABC[:3], "right": ABC[3:]}}) for key in (STATE, ACTION)}
    ),
    "names_by_position": Shape(
        {key: vector(6, {n: i for i, n in enumerate(ABC)}) for key in (STATE, ACTION)}
    ),
    "names_none": Shape({STATE: vector(6), ACTION: vector(6)}),
    "names_axes": Shape({key: vector(6, {"axes": ABC}) for key in (STATE, ACTION)}),
    "one_name_for_all": Shape({STATE: vector(6, ["state"]), ACTION: vector(6, ["actions"])}),
    "wrong_names_length": Shape({STATE: vector(6, ABC[:4]), ACTION: vector(6, ABC[:4])}),
    "names_twice": Shape({STATE: vector(6, ["x"] * 6), ACTION: vector(6, ["x"] * 6)}),
    "lerobot_record": Shape({key: vector(6, [f"{n}.pos" for n in ABC]) for key in (STATE, ACTION)}),
    "one_state": Shape({STATE: vector(1, ["x"])}),
    "one_action": Shape({ACTION: vector(1, ["x"])}),
    "one_of_each": Shape({STATE: vector(1, ["x"]), ACTION: vector(1, ["x"])}),
    "doubles": Shape({STATE: vector(6, ABC, "float64"), ACTION: vector(6, ABC, "float64")}),
    "dotted_camera": Shape({"observation.images.head.rgb": camera()}, (TOP,)),
    "camera_of_another_key": Shape({"observation.head": camera()}, (TOP,)),
    "image_twice": Shape({"observation.image": camera(), "observation.images.image": camera()}, (TOP,)),
    "two_sizes": Shape({"observation.images.wrist": camera(shape=(32, 48, 3))}),
    "no_camera": Shape(remove=(TOP,)),
    "no_state": Shape(remove=(STATE,)),
    "further_vectors": Shape(
        {
            "observation.effort": vector(6, ABC),
            "observation.environment_state": vector(3, ["cube_x", "cube_y", "cube_z"]),
            "observation.tactile": {"dtype": "float32", "shape": (2, 3), "names": None},
            "next.reward": vector(1),
        }
    ),
    "action_2d": Shape({ACTION: {"dtype": "float32", "shape": (2, 3), "names": None}}),
    "fps_float": Shape(fps=10.0),
}
"""By name: what differs from the usual dataset."""


def write_shape(root: Path, name: str, episodes: int = EPISODES, task: str = TASK) -> Path:
    """Writes the dataset of this shape; its vectors are `values`, its images `level`."""
    from lerobot.datasets import LeRobotDataset

    shape = SHAPES[name]
    features = shape.all_features()
    videos = any(each["dtype"] == "video" for each in features.values())
    with quiet_lerobot():
        dataset = LeRobotDataset.create(
            "local/shape", int(shape.fps), features, root=root, use_videos=videos, robot_type="toy"
        )
        for episode in range(episodes):
            for frame in range(FRAMES):
                row = {key: _value(each, episode, frame) for key, each in features.items()}
                dataset.add_frame(row | {"task": task})
            dataset.save_episode()
        dataset.finalize()
    info = (
        root / "meta" / "info.json"
    )  # LeRobot's conversion from v2.1 writes a float, its encoder takes none
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fps": shape.fps}, indent=4))
    return root


def level(episode: int, frame: int) -> int:
    """Brightness of all pixels of an image."""
    return 20 + 80 * episode + 10 * frame


def values(dim: int, episode: int, frame: int) -> np.ndarray:
    """The entries (dim,) of a vector."""
    return episode + 0.1 * frame + 0.01 * np.arange(dim)


def _value(feature: Mapping[str, Any], episode: int, frame: int) -> np.ndarray:
    if feature["dtype"] in ("video", "image"):
        return np.full(feature["shape"], level(episode, frame), np.uint8)
    shape = feature["shape"]
    return values(int(np.prod(shape)), episode, frame).reshape(shape).astype(feature["dtype"])
