# SPDX-License-Identifier: Apache-2.0
"""What a dataset records, and the check that an existing dataset records the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_policy_ros.core.contract import Camera, Contract
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.core.problems import Problems
from dit_policy_ros.data.dataset._files import INFO_FILE


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What every episode of a dataset consists of.

    fps: frames per second [Hz], a whole number for LeRobot. joints: names of the entries of state and action.
    robot_type: free text, stored in the dataset.

    Raises:
        DatasetError: fps is not a whole number.
    """

    fps: float  # [Hz]
    cameras: tuple[Camera, ...]
    joints: tuple[str, ...]
    robot_type: str

    def __post_init__(self) -> None:
        if not float(self.fps).is_integer():
            raise DatasetError(
                f"fps: LeRobot needs a whole number of frames per second, got {self.fps:g} Hz; change it in "
                "the contract"
            )

    @classmethod
    def from_contract(cls, contract: Contract) -> "DatasetSpec":
        """What the recorder records of a robot. Raises DatasetError if fps is not a whole number."""
        return cls(contract.fps, contract.cameras, contract.joints, contract.robot_type)

    def features(self) -> dict[str, dict[str, Any]]:
        """The dataset's features, in LeRobot's format."""
        features: dict[str, dict[str, Any]] = {
            IMAGE_PREFIX + camera.name: {
                "dtype": "video",
                "shape": (camera.height, camera.width, 3),
                "names": ["height", "width", "channels"],
            }
            for camera in self.cameras
        }
        for name in (STATE_KEY, ACTION_KEY):
            features[name] = {"dtype": "float32", "shape": (len(self.joints),), "names": list(self.joints)}
        return features


def check_compatible(root: Path, info: Mapping[str, Any], spec: DatasetSpec) -> None:
    """Checks that new episodes fit a dataset. Raises DatasetError that lists all differences.

    Args:
        root: the dataset, for the message.
        info: the content of its info.json.
        spec: what new episodes consist of.
    """
    problems = Problems(str(root / INFO_FILE))
    if info.get("fps") != spec.fps:
        problems.add("fps", f"{spec.fps:g} Hz as in the contract", f"{info.get('fps')} Hz")
    if info.get("robot_type") != spec.robot_type:
        problems.add("robot_type", f"'{spec.robot_type}' as in the contract", f"'{info.get('robot_type')}'")
    features = spec.features()
    recorded = {
        key: feature
        for key, feature in info["features"].items()
        if key.startswith("observation.") or key == ACTION_KEY
    }
    for key in sorted(features.keys() | recorded.keys()):
        if key not in recorded or key not in features:
            has, lacks = ("contract", "dataset") if key in features else ("dataset", "contract")
            problems.add_line(f"{key}: the {has} has it, the {lacks} does not")
            continue
        for aspect in ("dtype", "shape", "names"):
            expected, got = _as_list(features[key][aspect]), _as_list(recorded[key].get(aspect))
            if expected != got:
                problems.add(f"{key} {aspect}", f"{expected} as in the contract", f"{got}")
    problems.raise_if_any(
        DatasetError,
        "The dataset was recorded with another contract. Record into a new folder, or use that contract",
    )


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
