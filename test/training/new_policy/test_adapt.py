# SPDX-License-Identifier: Apache-2.0
"""`train --init C --adapt`: another robot's policy keeps what does not depend on joints and cameras."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import IMAGE, save_tiny, tiny_config

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.policy.checkpoint import Checkpoint, read_checkpoint
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import places, vector_parts
from dit_policy_ros.policy.processing import read_stats
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import DataShape, _initial, adapted_config, initial_policy
from dit_policy_ros.training.new_policy._adapt import Adaptation, adapt

CAM0, CAM1, SIDE = (f"observation.images.{name}" for name in ("cam0", "cam1", "side"))
OTHER = DataShape(20.0, 3, 2, ("x", "y", "z"), ("x", "y"), {CAM1: (60, 80), SIDE: (60, 80)})
SAME = DataShape(30.0, 5, 4, tuple("abcde"), tuple("abcd"), {CAM0: IMAGE, CAM1: IMAGE})
ADAPT = TrainConfig(init="c", adapt=True)

NETWORKS: dict[str, dict[str, Any]] = {
    "lerobots": {},
    "fusion": {"observation_layers": 1, "state_differences": 30.0, "image_steps": 1},
    "skip": {"observation_layers": 1, "image_skip": True},
    "wide": {"observation_layers": 1, "observation_width": 48},
    "cross_attention": {"conditioning": "cross_attention"},
    "in_context": {"conditioning": "in_context", "use_rope": False, "use_positional_encoding": True},
    "joint": {"conditioning": "joint", "image_tokens": "pooled"},
    "encoder_per_camera": {"use_separate_rgb_encoder_per_camera": True},
}


@pytest.fixture(params=NETWORKS, scope="module")
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("checkpoint") / request.param
    return read_checkpoint(save_tiny(folder, tiny_config(cameras=2, **NETWORKS[request.param])))


def adapted(checkpoint: Checkpoint, data: DataShape, **options: Any) -> tuple[DiTPolicy, Adaptation]:
    torch.manual_seed(3)
    policy, report = adapt(dataclasses.replace(ADAPT, **options), data, checkpoint)
    return policy.eval(), report


def test_what_depends_on_neither_joints_nor_cameras_is_kept_bit_for_bit(checkpoint: Checkpoint) -> None:
    policy, report = adapted(checkpoint, OTHER)
    before, now = checkpoint.policy.state_dict(), policy.state_dict()
    kept = [
        name
        for name in now
        if ("transformer_blocks" in name and "adaLN_modulation.1.weight" not in name)
        or ".text_encoder." in name
        or ".vision_encoder." in name
        or "time_mlp" in name
    ]
    assert len(kept) > 20
    assert [name for name in kept if not torch.equal(now[name], before[name])] == []
    new = ("noise_predictor.input_proj.weight", "noise_predictor.output_proj.weight")
    assert all(now[name].shape != before[name].shape for name in new)
    assert report.weights["instruction"][1] == 0 and report.weights["action"][0] == 0
    assert report.weights["state"][0] == 0 and report.weights["state"][1] > 0
    total = sum(kept + new for kept, new in report.weights.values())
    assert total == sum(each.numel() for each in now.values())


@pytest.mark.parametrize("checkpoint", ["lerobots", "encoder_per_camera"], indirect=True)
def test_the_network_still_computes_the_same_of_what_both_robots_have(checkpoint: Checkpoint) -> None:
    """Where weights of what is new begin at 0; tokens and the fusion MLP mix new weights in."""
    config = checkpoint.config
    policy, _ = adapted(checkpoint, OTHER)
    width = checkpoint.policy.observation_encoder.image_dim
    old_places = places(vector_parts(config, width))
    new_places = places(vector_parts(policy.config, width))
    generator = torch.Generator().manual_seed(0)
    old, new = (
        torch.zeros(1, max(place.stop for place in each.values())) for each in (old_places, new_places)
    )
    for part, place in new_places.items():
        if part in old_places:
            new[:, place] = torch.randn(1, part.length, generator=generator)
            old[:, old_places[part]] = new[:, place]
        else:
            new[:, place] = 7.0  # a new state and a new camera: the transformer does not read them yet
    hidden = torch.randn(1, config.horizon, config.hidden_dim, generator=generator)
    time = torch.randn(1, config.timestep_embed_dim, generator=generator)
    with torch.no_grad():
        expected = checkpoint.policy.noise_predictor.transformer_blocks(hidden, time, old)
        got = policy.noise_predictor.transformer_blocks(hidden, time, new)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_the_same_robot_keeps_everything(checkpoint: Checkpoint) -> None:
    policy, report = adapted(checkpoint, SAME)
    before = checkpoint.policy.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())
    assert all(new == 0 for _, new in report.weights.values())


def test_a_policy_learns_to_continue_actions_from_one_that_did_not(checkpoint: Checkpoint) -> None:
    """`--policy trained_delay=N`: all is kept, and the mark of given rows changes nothing at first."""
    policy, report = adapted(checkpoint, SAME, policy={"trained_delay": 3})
    assert policy.config.trained_delay == 3 and "trained_delay: 0 before, 3 now" in report.differences
    before, now = checkpoint.policy.state_dict(), policy.state_dict()
    rows = "noise_predictor.input_proj.weight"
    assert [n for n in now if n != rows and not torch.equal(now[n], before[n])] == []
    assert torch.equal(now[rows][:, :4], before[rows])
    assert not now[rows][:, 4].any() and now[rows].shape[1] == 5
    made = {part: new for part, (_, new) in report.weights.items() if new}
    assert made == {"action": before[rows].shape[0]}


def test_a_policy_that_continues_actions_becomes_one_that_does_not(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "delayed", tiny_config(cameras=2, trained_delay=3))
    delayed = read_checkpoint(folder)
    rows = "noise_predictor.input_proj.weight"
    same, _ = adapted(delayed, SAME)
    assert torch.equal(same.state_dict()[rows], delayed.policy.state_dict()[rows]), "the mark's weights too"
    policy, report = adapted(delayed, SAME, policy={"trained_delay": 0})
    assert torch.equal(policy.state_dict()[rows], delayed.policy.state_dict()[rows][:, :4])
    assert all(new == 0 for _, new in report.weights.values())


def test_cameras_are_kept_by_name_not_by_place(checkpoint: Checkpoint) -> None:
    """cam1 is the first camera of the new robot and the second of the old one."""
    policy, report = adapted(checkpoint, dataclasses.replace(SAME, image_sizes={CAM1: IMAGE, CAM0: IMAGE}))
    assert all(new == 0 for _, new in report.weights.values())
    generator = torch.Generator().manual_seed(0)
    old_encoder, new_encoder = checkpoint.policy.observation_encoder, policy.observation_encoder
    images = torch.randn(1, checkpoint.config.read_image_steps, 2, 3, *IMAGE, generator=generator)
    state = torch.randn(1, 2, 5, generator=generator)
    text = torch.randn(1, 16, generator=generator)
    noise = torch.randn(1, 8, 4, generator=generator)
    with torch.no_grad():
        outputs = [
            network.noise_predictor(noise, torch.tensor([5]), encoder(pixels, state, text))
            for network, encoder, pixels in (
                (checkpoint.policy, old_encoder, images),
                (policy, new_encoder, images.flip(2)),
            )
        ]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)


def test_it_says_what_differs(checkpoint: Checkpoint) -> None:
    _, report = adapted(checkpoint, OTHER)
    text = "\n".join(report.lines())
    assert "observation.state: 5 entries (a, b, c, d, e) before, 3 entries (x, y, z) now" in text
    assert "cameras kept: cam1; new: side; no longer read: cam0" in text
    assert "rate: 30 Hz before, 20 Hz now" in text
    assert json.loads(json.dumps(report.to_mapping()))["weights"]["action"]["kept"] == 0


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"hidden_dim": 64}, ["hidden_dim: expected 32, which the checkpoint was trained with, got 64"]),
        ({"num_layers": 3, "num_heads": 4}, ["num_layers: expected 2", "num_heads: expected 2"]),
        ({"vision_encoder_name": "openai/clip-vit-large-patch14"}, ["vision_encoder_name: expected 'clip'"]),
        ({"text_encoder_name": "my/clip"}, ["text_encoder_name: expected 'clip'"]),
        ({"objective": "flow_matching"}, ["objective: expected 'diffusion'"]),
        ({"image_resize_shape": [48, 48]}, ["image_resize_shape", "as 48x48 pixels", "it needs 24x24"]),
        ({"depth": 3}, ["unknown option 'depth'"]),
    ],
)
def test_options_with_which_weights_cannot_be_kept_are_named(
    tmp_path: Path, policy: dict[str, Any], words: Sequence[str]
) -> None:
    checkpoint = read_checkpoint(save_tiny(tmp_path / "c"))
    with pytest.raises(DitPolicyError) as caught:
        adapted_config(dataclasses.replace(ADAPT, policy=policy), OTHER, checkpoint)
    assert [word for word in words if word not in str(caught.value)] == []


def test_options_of_sampling_and_training_may_differ(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save_tiny(tmp_path / "c"))
    policy = {"horizon": 12, "n_action_steps": 6, "num_inference_steps": 2, "hidden_dim": 32}
    options = adapted_config(dataclasses.replace(ADAPT, policy=policy), OTHER, checkpoint)
    assert (options.horizon, options.n_action_steps, options.sampling_steps) == (12, 6, 2)
    assert options.to_mapping()["drop_n_last_frames"] == 12 - 6 - 2 + 1, "it follows, as for a new network"
    assert options.to_mapping()["type"] == "multi_task_dit", "LeRobot loads it"


def test_relative_actions_follow_the_names(tmp_path: Path) -> None:
    options = {"relative_entries": (0, 1), "clip_sample": False}
    checkpoint = read_checkpoint(save_tiny(tmp_path / "c", tiny_config(**options)))
    names = ("x", "y", "gripper")
    data = dataclasses.replace(OTHER, action_dim=3, state_names=names, action_names=names)
    assert adapted_config(ADAPT, data, checkpoint).relative_entries == (0, 1)
    assert adapted_config(ADAPT, OTHER, checkpoint).relative_entries == (), "their names differ"
    report = adapt(ADAPT, OTHER, checkpoint)[1]
    assert any("actions are absolute" in line for line in report.lines())


def test_a_checkpoint_without_cameras_has_no_encoder_to_keep(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save_tiny(tmp_path / "c", tiny_config(cameras=0)))
    with pytest.raises(TrainingError, match=r"--adapt: cameras: .* has none"):
        adapted_config(ADAPT, OTHER, checkpoint)
    blind = dataclasses.replace(OTHER, image_sizes={})
    assert adapted_config(ADAPT, blind, checkpoint).image_features == {}


def test_statistics_are_kept_where_weights_are(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save_tiny(tmp_path / "c"))
    data = dataclasses.replace(tiny_demonstrations(), action_names=tuple("wxyz"))
    initial = initial_policy(ADAPT, data, checkpoint)
    assert initial.stats is not None and set(initial.stats) == {CAM0, "observation.state"}
    known = read_stats(checkpoint.folder)["observation.state"]
    assert torch.equal(initial.stats["observation.state"]["min"], known["min"])
    assert initial.known_tasks == (), "what it did with the other robot"
    renewed = initial_policy(dataclasses.replace(ADAPT, statistics="dataset"), data, checkpoint)
    assert renewed.stats is None


def test_the_image_statistics_of_the_encoders_own_training_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With statistics of other demonstrations, and for new cameras, the encoder sees as before."""
    checkpoint = read_checkpoint(save_tiny(tmp_path / "c", tiny_config(cameras=2)))
    known = read_stats(checkpoint.folder)
    assert not torch.allclose(known[CAM0]["mean"], known[CAM1]["mean"])
    data, renewed = tiny_demonstrations(cameras=2), dataclasses.replace(ADAPT, statistics="dataset")
    tuned = dataclasses.replace(renewed, adapt=False)

    def with_own(stats: Any) -> None:
        monkeypatch.setattr(_initial, "packaged_image_statistics", lambda name: stats)

    with_own(known[CAM0])
    assert all(initial_policy(each, data, checkpoint).stats is None for each in (renewed, tuned)), (
        "its second camera has other statistics"
    )
    for others in ({}, {CAM0: {"std": known[CAM0]["std"]}}, {CAM0: {"mean": torch.zeros(1)}}):
        with monkeypatch.context() as patch:
            patch.setattr(_initial, "read_stats", lambda folder, others=others: others)
            assert initial_policy(tuned, data, checkpoint).stats is None, "it has none, or others"
    one = read_checkpoint(save_tiny(tmp_path / "one"))
    with_own(read_stats(one.folder)[CAM0])
    other = dataclasses.replace(data, action_names=tuple("wxyz"))
    found = initial_policy(renewed, other, one).stats
    assert found is not None and set(found) == {CAM0, CAM1}, "the second camera is new"
    tuned_stats = initial_policy(tuned, tiny_demonstrations(), one).stats
    assert tuned_stats is not None and set(tuned_stats) == {CAM0}
    for stats in (*found.values(), *tuned_stats.values()):
        assert torch.equal(stats["mean"], read_stats(one.folder)[CAM0]["mean"])
