# SPDX-License-Identifier: Apache-2.0
"""What a dataset records, and the check that an existing dataset records the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_policy_ros.core.contract import Camera, Contract, Vector
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import (
    ACTION_KEY,
    CONTROLLER_KEY,
    IMAGE_PREFIX,
    INTERVENTION_KEY,
    STATE_KEY,
    vector_key,
)
from dit_policy_ros.core.problems import Problems, show
from dit_policy_ros.data.description import INFO_FILE, check_extendable_values

_CONTROL_FEATURES: dict[str, dict[str, Any]] = {
    INTERVENTION_KEY: {"dtype": "bool", "shape": (1,), "names": None},
    CONTROLLER_KEY: {"dtype": "string", "shape": (1,), "names": None},
}


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What every episode of a dataset consists of.

    fps: frames per second [Hz], a whole number for LeRobot. joints: names of the entries of state and action:
    joints, and the nine entries of each pose.
    robot_type: free text, stored in the dataset. vectors: further observed vectors. control: whether each
    frame says who drove the arms, as while a policy runs.

    Raises:
        DatasetError: fps is not a whole number.
    """

    fps: float  # [Hz]
    cameras: tuple[Camera, ...]
    joints: tuple[str, ...]
    robot_type: str
    vectors: tuple[Vector, ...] = ()
    control: bool = False

    def __post_init__(self) -> None:
        if not float(self.fps).is_integer():
            raise DatasetError(
                f"fps: LeRobot needs a whole number of frames per second, got {self.fps:g} Hz; change it in "
                "the contract"
            )

    @classmethod
    def from_contract(cls, contract: Contract) -> "DatasetSpec":
        """What the recorder records of a robot. Raises DatasetError if fps is not a whole number."""
        names = contract.layout.names
        return cls(contract.fps, contract.cameras, names, contract.robot_type, contract.vectors)

    def features(self) -> dict[str, dict[str, Any]]:
        """The dataset's features, in LeRobot's format."""
        features: dict[str, dict[str, Any]] = {
            IMAGE_PREFIX + camera.name: {
                "dtype": "image" if camera.is_depth else "video",
                "shape": camera.image_shape,
                "names": ["height", "width", "channels"],
                **({"info": _depth_info(camera)} if camera.is_depth else {}),
            }
            for camera in self.cameras
        }
        for name in (STATE_KEY, ACTION_KEY):
            features[name] = _vector_feature(self.joints)
        features |= {vector_key(vector.name): _vector_feature(vector.entries) for vector in self.vectors}
        return features | (_CONTROL_FEATURES if self.control else {})


def _depth_info(camera: Camera) -> dict[str, Any]:
    """What LeRobot says of a depth camera beside its shape."""
    return {"is_depth_map": True, "depth_unit": camera.depth_unit}


def _vector_feature(names: Sequence[str]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": (len(names),), "names": list(names)}


def check_compatible(root: Path, info: Mapping[str, Any], spec: DatasetSpec) -> None:
    """Checks that new episodes fit a dataset. Raises DatasetError that lists all differences.

    Args:
        root: the dataset, for the message.
        info: the content of its info.json.
        spec: what new episodes consist of.
    """
    problems = Problems(str(root / INFO_FILE))
    if info.get("fps") != spec.fps:
        fps = info.get("fps")
        is_number = isinstance(fps, int | float) and not isinstance(fps, bool)
        problems.add("fps", f"{spec.fps:g} Hz as in the contract", f"{fps} Hz" if is_number else show(fps))
    if info.get("robot_type") != spec.robot_type:
        problems.add("robot_type", f"'{spec.robot_type}' as in the contract", f"'{info.get('robot_type')}'")
    check_extendable_values(info, not all(camera.is_depth for camera in spec.cameras), problems)
    features = spec.features()
    recorded = {
        key: feature
        for key, feature in info["features"].items()
        if key.startswith("observation.") or key in (ACTION_KEY, *_CONTROL_FEATURES)
    }
    for key in sorted(features.keys() | recorded.keys()):
        if key not in recorded or key not in features:
            ours = "recorder's control_topic" if key in _CONTROL_FEATURES else "contract"
            has, lacks = (ours, "dataset") if key in features else ("dataset", ours)
            problems.add_line(f"{key}: the {has} has it, the {lacks} does not")
            continue
        for aspect in ("dtype", "shape", "names"):
            expected, got = _as_list(features[key][aspect]), _as_list(recorded[key].get(aspect))
            if expected != got:
                problems.add(f"{key} {aspect}", f"{expected} as in the contract", f"{got}")
        depth, stored = features[key].get("info") or {}, recorded[key].get("info") or {}
        for name, expected in depth.items():
            if stored.get(name) != expected:
                problems.add(f"{key} {name}", f"{show(expected)} as in the contract", show(stored.get(name)))
    problems.raise_if_any(
        DatasetError,
        "The dataset was recorded with another contract. Record into a new folder, or use that contract",
    )


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
