# SPDX-License-Identifier: Apache-2.0
"""`recorded_names: dataset`: what is recorded has the names and units that the policy node reads back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from contracts import small_mapping
from rosbags.rosbag2 import StoragePlugin
from small_bags import messages, write_bag

from dit_policy_ros.cli.bag_to_dataset import main
from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.core.policy_interface import match_policy
from dit_policy_ros.data.dataset import read_demonstrations, read_records
from dit_policy_ros.data.recording import Naming

NAMES = ["shoulder.pos = shoulder * 57.29578", "grip = finger * 2500 + 1"]
TRAINED = {
    "dataset_names": NAMES,
    "cameras": {
        **small_mapping()["cameras"],
        "top": small_mapping()["cameras"]["top"] | {"trained_as": "head.rgb"},
    },
}


class Echo:
    """A policy of the recorded names whose actions are its newest state."""

    description, device, backend, steps, uses_previous, unseen_state = "echo", "cpu", "none", 1, False, ""
    fps, known_tasks, n_obs_steps, horizon, vectors = 30.0, (), 1, 1, ()
    state_dim = action_dim = 3

    def __init__(self, names: tuple[str, ...], cameras: tuple[str, ...]) -> None:
        self.joint_names = self.action_names = names
        self.image_shapes = dict.fromkeys(cameras, (48, 64))
        self.state = np.empty(0)

    def predict(self, images: Any, state: Any, task: str, noise: Any = None, previous: Any = None) -> Any:
        self.state = state
        return state[-1:]


def convert(folder: Path, bag: Path, recorded_names: str) -> Path:
    contract = small_mapping(**TRAINED)
    sections = {
        "/**": {"ros__parameters": contract},
        "/recorder": {"ros__parameters": {"recorded_names": recorded_names}},
    }
    config = folder / f"{recorded_names}.yaml"
    config.write_text(yaml.safe_dump(sections))
    arguments = ["--config", str(config), "--dataset", str(folder / recorded_names)]
    assert main([str(bag), *arguments, "--episode", "3", "4", "push"]) == 0
    return folder / recorded_names


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> tuple[Path, Path]:
    """The same bag under the contract's names and under the dataset's."""
    folder = tmp_path_factory.mktemp("names")
    bag = write_bag(folder / "bag", StoragePlugin.MCAP, messages())
    return convert(folder, bag, "contract"), convert(folder, bag, "dataset")


def test_entries_and_cameras_have_the_datasets_names_and_units(recorded: tuple[Path, Path]) -> None:
    robot = read_demonstrations(recorded[0], ("top",))
    theirs = read_demonstrations(recorded[1], ("head.rgb",))
    assert robot.state_names == ("shoulder", "finger", "elbow")
    assert theirs.state_names == theirs.action_names == ("shoulder.pos", "grip", "elbow")
    for kind in ("state", "action"):
        expected = getattr(robot, kind) * [57.29578, 2500.0, 1.0] + [0.0, 1.0, 0.0]
        np.testing.assert_allclose(getattr(theirs, kind), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(robot.images["top"], theirs.images["head.rgb"])


def test_flags_follow_their_camera(recorded: tuple[Path, Path]) -> None:
    for root in recorded:  # the camera `wrist` was silent for a while
        assert list(read_records(root)[0].repeated) == ["wrist"]


def test_the_policy_node_reads_back_what_was_recorded(recorded: tuple[Path, Path]) -> None:
    robot, theirs = (read_demonstrations(root, ("wrist",)) for root in recorded)
    contract = parse_contract(small_mapping(**TRAINED), "test")
    policy = Echo(theirs.state_names or (), ("head.rgb", "wrist"))
    matched = match_policy(policy, contract.joints, contract.dataset_names, contract.trained_cameras)
    assert set(matched.image_shapes) == {"top", "wrist"}
    chunk = matched.predict({}, robot.state[5:6], "push")
    np.testing.assert_allclose(policy.state, theirs.state[5:6], rtol=1e-5)
    np.testing.assert_allclose(chunk, robot.state[5:6], rtol=1e-5)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a = finger", "b = finger * -1"], "a, b come from 'finger'; a recorded action has one entry"),
        (["elbow = finger", "finger = elbow", "x = shoulder", "y = shoulder"], "x, y come from 'shoulder'"),
        (["elbow = finger"], "are called 'elbow' in the dataset"),
    ],
)
def test_names_that_cannot_be_recorded_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(ContractError) as caught:
        Naming.of(parse_contract(small_mapping(dataset_names=names), "test"))
    assert said in str(caught.value)
