# SPDX-License-Identifier: Apache-2.0
"""A network for several robots, exported to one of them, computes the same actions for that robot."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_policy import (
    IMAGE,
    TASKS,
    random_observation,
    random_policy,
    random_stats,
    tiny_config,
    tiny_tokenizer,
)

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import CheckpointFacts
from dit_policy_ros.policy.config import Feature, FeatureType, PolicyConfig
from dit_policy_ros.policy.dit_policy import Batch, DiTPolicy
from dit_policy_ros.policy.unified import (
    ROBOTS_FILE,
    RobotLayout,
    UnifiedRobot,
    export_policy,
    export_robot,
    read_robots,
    unified_config,
    write_unified_checkpoint,
)

SLOTS = ("left_arm_joint_1", "left_arm_joint_2", "left_gripper", "right_arm_joint_1", "right_gripper", "lift")
STATE = ("right_arm_joint_1", "lift", "right_gripper", "left_arm_joint_2")  # of the robot, in its order
ACTION = ("right_gripper", "right_arm_joint_1", "lift")
LAYOUT = RobotLayout.of(STATE, ACTION, SLOTS)
DDIM = {"noise_scheduler_type": "DDIM", "num_inference_steps": 4}
NETWORKS: dict[str, dict[str, Any]] = {
    "epsilon": DDIM,
    "sample": DDIM | {"prediction_type": "sample", "clip_sample": False},
    "euler": {"objective": "flow_matching"},
    "runge_kutta": {"objective": "flow_matching", "integration_method": "rk4"},
    "fusion": DDIM | {"observation_layers": 2, "state_differences": 30.0, "image_steps": 1},
    "skip": DDIM | {"observation_layers": 1, "image_skip": True},
    "wide": DDIM | {"observation_layers": 1, "observation_width": 48},
    "state_differences": DDIM | {"state_differences": 30.0},
    "cross_attention": DDIM | {"conditioning": "cross_attention", "state_differences": 30.0},
    "in_context": DDIM | {"conditioning": "in_context"},
    "joint": DDIM | {"conditioning": "joint", "use_rope": False, "use_positional_encoding": True},
    "encoder_per_camera": DDIM | {"use_separate_rgb_encoder_per_camera": True},
    "no_camera": DDIM | {"cameras": 0},
}


def robot_config(cameras: int = 2, **options: Any) -> PolicyConfig:
    images = {f"observation.images.cam{i}": Feature(FeatureType.VISUAL, (3, *IMAGE)) for i in range(cameras)}
    state = {"observation.state": Feature(FeatureType.STATE, (len(STATE),))}
    action = {"action": Feature(FeatureType.ACTION, (len(ACTION),))}
    return tiny_config(input_features=images | state, output_features=action, **options)


def pair(**options: Any) -> tuple[DiTPolicy, DiTPolicy]:
    """The unified network, and the robot's."""
    config = robot_config(**options)
    unified = random_policy(unified_config(config, SLOTS))
    return unified, export_policy(unified, config, LAYOUT)


def in_slots(values: torch.Tensor, slots: tuple[int, ...]) -> torch.Tensor:
    """Entries (..., N) in their slots (..., U); 0 elsewhere."""
    padded = torch.zeros(*values.shape[:-1], len(SLOTS))
    padded[..., list(slots)] = values
    return padded


def batches(config: PolicyConfig) -> tuple[Batch, Batch]:
    """The same three examples for the unified and for the robot's network."""
    generator = torch.Generator().manual_seed(1)
    cameras = len(config.image_features)
    images = None
    if cameras:
        images = torch.randn(3, config.read_image_steps, cameras, 3, *IMAGE, generator=generator)
    state = torch.randn(3, config.n_obs_steps, len(STATE), generator=generator)
    action = torch.randn(3, config.horizon, len(ACTION), generator=generator)
    own = Batch(state, torch.randn(3, 16, generator=generator), action, images=images)
    known = in_slots(torch.ones_like(state), LAYOUT.state)
    unified = dataclasses.replace(
        own,
        state=torch.cat((in_slots(state, LAYOUT.state), known), dim=-1),
        action=in_slots(action, LAYOUT.action),
        has_entry=in_slots(torch.ones(3, len(ACTION)), LAYOUT.action).bool(),
    )
    return unified, own


@pytest.mark.parametrize("name", NETWORKS)
def test_the_exported_network_gives_the_same_actions(name: str) -> None:
    unified, own = pair(**NETWORKS[name])
    padded, batch = batches(own.config)
    noise = torch.randn(3, own.config.horizon, len(ACTION), generator=torch.Generator().manual_seed(2))
    expected = unified.sample(
        unified.encode(padded), in_slots(noise, LAYOUT.action) + 5.0, has_entry=padded.has_entry
    )
    got = own.sample(own.encode(batch), noise + 5.0)
    torch.testing.assert_close(got, expected[..., list(LAYOUT.action)], rtol=1e-4, atol=1e-5)
    others = [slot for slot in range(len(SLOTS)) if slot not in LAYOUT.action]
    assert torch.equal(expected[..., others], torch.zeros_like(expected[..., others]))
    assert got.std() > 0.01


@pytest.mark.parametrize("objective", ["diffusion", "flow_matching"])
def test_the_loss_and_its_gradient_leave_out_what_a_robot_does_not_have(objective: str) -> None:
    unified, own = pair(objective=objective)
    padded, _ = batches(own.config)
    assert padded.has_entry is not None
    noisy = dataclasses.replace(padded, action=padded.action + 3.0 * ~padded.has_entry.unsqueeze(1))
    losses = []
    for example in (padded, noisy):
        torch.manual_seed(0)
        unified.zero_grad()
        loss = unified(example)
        loss.backward()
        losses.append(float(loss))
    weight = unified.noise_predictor.output_proj.weight.grad
    assert weight is not None
    others = [slot for slot in range(len(SLOTS)) if slot not in LAYOUT.action]
    assert torch.equal(weight[others], torch.zeros_like(weight[others]))
    assert weight[list(LAYOUT.action)].abs().sum() > 0
    assert losses[0] == losses[1] > 0


def test_a_mask_of_all_entries_changes_no_loss() -> None:
    unified, _ = pair()
    padded, _ = batches(unified.config)
    losses = []
    for mask in (None, torch.ones(3, len(SLOTS), dtype=torch.bool)):
        torch.manual_seed(0)
        losses.append(float(unified(dataclasses.replace(padded, has_entry=mask))))
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = robot_config(**DDIM)
    unified = random_policy(unified_config(config, SLOTS))
    facts = CheckpointFacts(fps=30.0, joint_names=tuple("wxyz"), action_names=tuple("abc"), known_tasks=TASKS)
    robot = UnifiedRobot("toy", STATE, ACTION, config, facts, random_stats(config))
    folder = tmp_path_factory.mktemp("unified") / "both"
    stats = random_stats(unified.config)
    return write_unified_checkpoint(
        folder, unified, stats, CheckpointFacts(fps=30.0), tiny_tokenizer(), [robot]
    )


def test_a_robot_is_exported_as_an_ordinary_checkpoint(saved: Path, tmp_path: Path) -> None:
    folder = export_robot(saved, "toy", tmp_path / "toy")
    policy = load_policy(folder)
    assert policy.joint_names == tuple("wxyz") and policy.action_dim == 3
    config = robot_config(**DDIM)
    images, state = random_observation(config)
    assert policy.predict(images, state, TASKS[0]).shape == (7, 3)
    assert json.loads((folder / "config.json").read_text())["type"] == "multi_task_dit", "LeRobot loads it"
    (robot,) = read_robots(saved)
    assert robot.config.to_mapping() == config.to_mapping() and robot.layout(SLOTS) == LAYOUT


def test_a_unified_checkpoint_is_not_run_as_it_is(saved: Path) -> None:
    with pytest.raises(CheckpointError, match=r"several robots: toy\. Export it .* export_robot"):
        load_policy(saved)


def test_unknown_robots_and_ordinary_checkpoints_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"it has the robots toy, got 'toi'\. Did you mean 'toy'"):
        export_robot(saved, "toi", tmp_path / "x")
    single = export_robot(saved, "toy", tmp_path / "toy")
    with pytest.raises(CheckpointError, match="the policy of one robot"):
        export_robot(single, "toy", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def first_robot(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda content: change(content["robots"][0])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (first_robot(lambda robot: robot["state_slots"].__setitem__(0, "nose")), "each slot once.* got nose"),
        (
            first_robot(lambda robot: robot["state_slots"].__setitem__(0, robot["state_slots"][1])),
            "each slot once",
        ),
        (first_robot(lambda robot: robot["action_slots"].__setitem__(0, "base_yaw")), "no slots base_yaw"),
        (first_robot(lambda robot: robot["config"].update(hidden_dim=64)), "not those of the network"),
        (lambda content: content["robots"].append(content["robots"][0]), "each robot once, got toy"),
        (lambda content: content["robots"].insert(0, {"name": "x"}), "a robot is damaged"),
    ],
)
def test_a_damaged_description_of_the_robots_is_refused(
    saved: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], object], words: str
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "damaged"))
    content = json.loads((folder / ROBOTS_FILE).read_text())
    damage(content)
    (folder / ROBOTS_FILE).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=words):
        export_robot(folder, "toy", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_robot_without_statistics_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "damaged"))
    file = folder / "robots.safetensors"
    save_file({name: each for name, each in load_file(file).items() if "/action/" not in name}, file)
    with pytest.raises(CheckpointError, match="lacks the statistics of action"):
        export_robot(folder, "toy", tmp_path / "x")
