# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that does not fit the robot is refused, and every difference is reported."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface import check_policy

CONFIG = Path(__file__).parents[3] / "config" / "bimanual.yaml"
CONTRACT = parse_contract(yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"], "")


@dataclass(frozen=True)
class Facts:
    fps: float | None = 30.0
    joint_names: tuple[str, ...] | None = CONTRACT.joints
    action_names: tuple[str, ...] | None = CONTRACT.joints
    image_shapes: dict[str, tuple[int, int]] = field(default_factory=lambda: {"top": (240, 320)})
    state_dim: int = 14
    action_dim: int = 14
    vectors: tuple = ()


GOOD = Facts()


@pytest.mark.parametrize(
    "facts",
    [
        GOOD,
        replace(GOOD, image_shapes={"left_wrist": (96, 128), "top": (480, 640)}),
    ],
)
def test_a_checkpoint_that_fits_is_accepted(facts: Facts) -> None:
    check_policy(facts, CONTRACT)


@pytest.mark.parametrize(
    ("facts", "fragments"),
    [
        (replace(GOOD, state_dim=12), ["state dimension: expected 14", "got 12"]),
        (replace(GOOD, action_dim=7), ["action dimension: expected 14", "got 7"]),
        (
            replace(GOOD, fps=None),
            ["1 problem", "assume_fps: expected the rate of the training data", "must be the contract's 30"],
        ),
        (
            replace(GOOD, joint_names=None),
            ["1 problem", "assume_joints: expected the joints", "repeat that list"],
        ),
        (replace(GOOD, fps=50.0), ["30 Hz", "50 Hz"]),
        (replace(GOOD, fps=float("nan")), ["fps", "nan"]),
        (
            replace(GOOD, joint_names=CONTRACT.joints[::-1]),
            ["order", "from position 0 on", "Reorder 'joints'"],
        ),
        (
            replace(GOOD, joint_names=("waist", *CONTRACT.joints[1:])),
            ["without waist and with left_joint_1 in addition"],
        ),
        (
            replace(GOOD, image_shapes={"belly": (240, 320)}),
            ["cameras.belly", "top, left_wrist, right_wrist"],
        ),
        (replace(GOOD, image_shapes={"top": (224, 224)}), ["224x224", "320x240", "distort"]),
    ],
)
def test_each_difference_is_reported(facts: Facts, fragments: list[str]) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_policy(facts, CONTRACT)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_depth_camera_is_refused_as_an_input() -> None:
    cameras = tuple(replace(each, depth_unit="mm") for each in CONTRACT.cameras if each.name == "top")
    with pytest.raises(CheckpointError, match=r"cameras.top.kind: expected color, .* got depth \[mm\]"):
        check_policy(GOOD, replace(CONTRACT, cameras=cameras))


def test_all_differences_are_in_one_message() -> None:
    facts = Facts(
        fps=10.0, joint_names=("a",), image_shapes={"x": (1, 1), "top": (9, 9)}, state_dim=1, action_dim=2
    )
    with pytest.raises(CheckpointError, match="6 problems"):
        check_policy(facts, CONTRACT)
