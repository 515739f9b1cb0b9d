# SPDX-License-Identifier: Apache-2.0
"""The simulated robot and another one, on demonstrations of the cube tasks: adapted, and in one training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
pytest.importorskip("mujoco", reason="mujoco is not installed")

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.unified import export_robot, read_robots
from dit_policy_ros.sim.operator._demonstrate import Episode, Settings, demonstrate
from dit_policy_ros.sim.robot import FPS, JOINTS
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import RunFolder, TrainObserver, make_accelerator, train_policy

pytestmark = pytest.mark.slow  # renders demonstrations and trains twice

HEIGHT, WIDTH = 120, 160
ARM = ("tool", "wrist", "forearm", "elbow", "shoulder", "waist", "right_gripper")
SLOTS = {name: f"right_arm_joint_{6 - number}" for number, name in enumerate(ARM[:6])}
OPTIONS: dict[str, Any] = {
    "steps": 3, "batch_size": 4, "checkpoint_every": 3, "validation": 0.5, "device": "cpu",
    "relative_actions": True,
}  # fmt: skip


def one_arm(values: np.ndarray) -> np.ndarray:
    """The right arm of the simulated robot (14,) as a robot of its own (7,): other order, degrees."""
    return np.append(np.degrees(values[12:6:-1]), values[13])


def write(root: Path, episodes: list[Episode], joints: tuple[str, ...], camera: str, robot: str) -> str:
    spec = DatasetSpec(FPS, (Camera(camera, f"/{camera}", HEIGHT, WIDTH, max_age=0.5),), joints, robot)
    writer = DatasetWriter(root, spec)
    for episode in episodes:
        for frame in episode.frames:
            state, action = frame.state, frame.action
            if len(joints) == len(ARM):
                state, action = one_arm(state), one_arm(action)
            writer.add_frame({camera: frame.images["top"]}, state, action, episode.task.instruction)
        writer.save_episode()
    writer.finalize()
    return str(root)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    root = tmp_path_factory.mktemp("data")
    settings = Settings(cameras=("top",))
    episodes = list(demonstrate(6, 1, settings, width=WIDTH, height=HEIGHT))
    both = write(root / "bimanual", episodes, tuple(JOINTS), "top", "dit_bimanual")
    return both, write(root / "one_arm", episodes, ARM, "head", "one_arm")


def train(output: Path, **options: Any) -> Path:
    config = TrainConfig(**(OPTIONS | options))
    result = train_policy(config, RunFolder(output), make_accelerator(config), TrainObserver())
    assert result.is_finished and result.checkpoint is not None and result.scores is not None
    assert np.isfinite(result.scores.action_error)
    return result.checkpoint / "pretrained_model"


def moves(folder: Path, camera: str) -> np.ndarray:
    policy = load_policy(folder, sampling_steps=2)
    images = {camera: np.zeros((policy.n_obs_steps, HEIGHT, WIDTH, 3), np.uint8)}
    state = np.zeros((policy.n_obs_steps, len(policy.joint_names or ())), np.float32)
    return policy.predict(images, state, "touch the red cube with the right arm")


def test_both_robots_in_one_training(datasets: tuple[str, str], tmp_path: Path) -> None:
    options: dict[str, Any] = {"slots": SLOTS, "camera_slots": {"head": "top"}}
    folder = train(tmp_path / "run", dataset=datasets, unified_actions=True, **options)
    assert [robot.name for robot in read_robots(folder)] == ["dit_bimanual", "one_arm"]
    for name, camera, joints in (("dit_bimanual", "top", tuple(JOINTS)), ("one_arm", "head", ARM)):
        exported = export_robot(folder, name, tmp_path / name)
        assert load_policy(exported).joint_names == joints
        chunk = moves(exported, camera)
        assert chunk.shape[1] == len(joints) and np.isfinite(chunk).all()


def test_the_shipped_policy_is_adapted_to_one_arm(datasets: tuple[str, str], tmp_path: Path) -> None:
    init: dict[str, Any] = {"init": str(default_checkpoint()), "adapt": True}
    folder = train(tmp_path / "run", dataset=datasets[1:], **init)
    chunk = moves(folder, "head")
    assert chunk.shape[1] == len(ARM) and np.isfinite(chunk).all()
