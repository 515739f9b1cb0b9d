# SPDX-License-Identifier: Apache-2.0
"""Which entries of which robot are in which slots, and what is refused before anything is decoded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")

from tiny_dataset import write_tiny_dataset

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.policy.unified import SLOTS, find_slot
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.unified import plan_robots


@pytest.mark.parametrize(
    ("name", "slot"),
    [
        ("left_joint_1", "left_arm_joint_1"),
        ("right_arm_joint7", "right_arm_joint_7"),
        ("right_gripper", "right_gripper"),
        ("torso_joint_2", "torso_joint_2"),
        ("lift", "lift"),
        ("joint_1", None),  # of which arm?
        ("left_waist", None),
        ("left_joint_0", None),
        ("left_joint_11", None),
        ("Left_joint_1", None),
    ],
)
def test_names_that_say_their_slot(name: str, slot: str | None) -> None:
    assert find_slot(name) == slot


def test_each_slot_is_there_once() -> None:
    assert len(set(SLOTS)) == len(SLOTS) > 60


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("data")
    joints = {
        "left": ("left_joint_1", "left_joint_2", "left_gripper"),
        "other": ("waist", "shoulder", "right_gripper"),
        "single": ("joint_1", "joint_2", "gripper"),
    }
    return {name: str(write_tiny_dataset(root / name, 2, joints=names)) for name, names in joints.items()}


def config(*folders: str, **options: Any) -> TrainConfig:
    return TrainConfig(dataset=folders, unified_actions=True, **options)


OTHER = {"waist": "right_arm_joint_1", "shoulder": "right_arm_joint_2"}


def test_datasets_are_grouped_by_robot_and_mapped(datasets: dict[str, str]) -> None:
    plans, slots = plan_robots(config(datasets["left"], datasets["other"], datasets["left"], slots=OTHER))
    assert [plan.name for plan in plans] == ["left", "other"], "both robot types are 'test'"
    assert [len(plan.folders) for plan in plans] == [2, 1]
    assert plans[1].state_slots == ("right_arm_joint_1", "right_arm_joint_2", "right_gripper")
    assert slots == (
        "left_arm_joint_1", "left_arm_joint_2", "right_arm_joint_1", "right_arm_joint_2",
        "left_gripper", "right_gripper",
    )  # fmt: skip
    text = "\n".join(line for plan in plans for line in plan.lines())
    assert "left_joint_1 = left_arm_joint_1, left_joint_2 = left_arm_joint_2, left_gripper" in text
    assert "waist = right_arm_joint_1" in text and "cameras: cam0" in text


def test_a_slot_may_be_given_for_one_robot(datasets: dict[str, str]) -> None:
    given = {
        f"single/{name}": slot for name, slot in zip(("joint_1", "joint_2"), OTHER.values(), strict=True)
    }
    plans, _ = plan_robots(
        config(datasets["left"], datasets["single"], slots=given | {"gripper": "right_gripper"})
    )
    assert plans[1].state_slots == ("right_arm_joint_1", "right_arm_joint_2", "right_gripper")


Slots = dict[str, str]


@pytest.mark.parametrize(
    ("slots", "words"),
    [
        (
            {},
            "robot other: observation.state: waist, shoulder have no slot: give each with --slots NAME=SLOT",
        ),
        (OTHER | {"waist": "right_arm_joint1"}, "Did you mean 'right_arm_joint_1'"),
        (OTHER | {"waist": "right_arm_joint_2"}, "each slot once, got right_arm_joint_2 for several entries"),
        (OTHER | {"wasit": "lift"}, "--slots wasit: expected a name of a dataset's entry"),
    ],
)
def test_wrong_slots_are_refused_by_name(datasets: dict[str, str], slots: Slots, words: str) -> None:
    with pytest.raises(TrainingError) as caught:
        plan_robots(config(datasets["left"], datasets["other"], slots=slots))
    assert words in str(caught.value)


def change_info(folder: Path, change: Callable[[dict[str, Any]], None]) -> str:
    import json

    info = folder / "meta" / "info.json"
    content = json.loads(info.read_text())
    change(content)
    info.write_text(json.dumps(content))
    return str(folder)


def test_another_rate_other_cameras_and_nameless_entries_are_refused(
    datasets: dict[str, str], tmp_path: Path
) -> None:
    joints = ("right_joint_1", "right_joint_2")

    def rate(info: dict[str, Any]) -> None:
        info["fps"] = 20

    def camera(info: dict[str, Any]) -> None:
        info["features"]["observation.images.head"] = info["features"].pop("observation.images.cam0")

    def nameless(info: dict[str, Any]) -> None:
        info["features"]["action"]["names"] = None

    for number, (change, words) in enumerate(
        (
            (rate, "fps: expected 30 Hz, as of left, got 20 Hz"),
            (camera, "every robot needs the cameras cam0, and no others are read: 1 has head"),
            (nameless, "action has no names, so that its entries belong to no slot"),
        )
    ):
        folder = change_info(write_tiny_dataset(tmp_path / str(number), 2, joints=joints), change)
        with pytest.raises(DitPolicyError) as caught:
            plan_robots(config(datasets["left"], folder))
        assert words in str(caught.value)
    shared = plan_robots(config(datasets["left"], str(tmp_path / "1"), camera_slots={"head": "cam0"}))[0]
    assert shared[1].cameras["cam0"].key == "observation.images.head"


def test_options_that_do_not_go_together() -> None:
    for options, words in (
        ({"slots": {"a": "lift"}}, "slots: expected unified_actions to be on"),
        ({"unified_actions": True, "init": "c"}, "init: expected none together with unified_actions"),
        ({"unified_actions": True, "push_to_hub": "a/b"}, "push_to_hub: expected none together"),
    ):
        with pytest.raises(TrainingError, match=words):
            TrainConfig(**options)


def test_names_of_cameras_and_joints_that_nobody_has_are_refused(datasets: dict[str, str]) -> None:
    given = {"slots": OTHER, "dataset": (datasets["left"], datasets["other"]), "unified_actions": True}
    for options, words in (
        ({"camera_slots": {"cam1": "top"}}, "--camera-slots cam1: expected the name of a dataset's camera"),
        ({"camera_slots": {"rihgt/cam0": "top"}}, "--camera-slots rihgt/cam0"),
        (
            {"relative_actions": True, "absolute_joints": ("gripper", "griper")},
            "--absolute-joints: expected parts of joints' names, got 'griper'",
        ),
    ):
        with pytest.raises(TrainingError) as caught:
            plan_robots(TrainConfig(**given | options))
        assert words in str(caught.value)
    plan_robots(TrainConfig(**given, relative_actions=True, absolute_joints=("gripper", "waist", "")))


def test_two_cameras_of_a_robot_cannot_be_one(datasets: dict[str, str], tmp_path: Path) -> None:
    def twice(info: dict[str, Any]) -> None:
        info["features"]["observation.images.head"] = info["features"]["observation.images.cam0"]

    folder = change_info(write_tiny_dataset(tmp_path / "two", 2, joints=("right_joint_1",)), twice)
    with pytest.raises(TrainingError, match="camera cam0: expected one, got cam0 and head"):
        plan_robots(config(datasets["left"], folder, camera_slots={"head": "cam0"}))
