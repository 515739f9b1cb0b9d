# SPDX-License-Identifier: Apache-2.0
"""Stills teach a policy's observation encoder which object an instruction names."""

import numpy as np
import pytest
import torch
from devices import DEVICES
from tiny_policy import STATE_DIM
from tiny_variants import WIDTH, new_policy, variant_config

from dit_policy_ros.training.pretext import EncodedStills, PretextSettings, Targets, pretrain_observation
from dit_policy_ros.training.pretext._observation import STATE_NOISE

STILLS, INSTRUCTIONS = 1200, 3


def pretrain(
    steps: int,
    targets: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    differences: float = 0.0,
    device: str = "cpu",
    seed: int = 0,
) -> tuple[np.ndarray, list[float], dict[str, torch.Tensor]]:
    """Errors (60, 3, 2), the losses, and the encoder's weights; the image features hold all positions."""
    config = variant_config(observation_layers=2, n_obs_steps=2, state_differences=differences)
    policy = new_policy(config).to(device)
    torch.manual_seed(1)
    features = torch.rand(STILLS, WIDTH) * 2 - 1
    state, text = torch.rand(STILLS, STATE_DIM) * 2 - 1, torch.randn(INSTRUCTIONS, WIDTH)
    positions = features[:, : 2 * INSTRUCTIONS].reshape(
        STILLS, INSTRUCTIONS, 2
    )  # (M, K, 2) of each named object
    if targets is None:
        targets = (positions + state[:, None, :1]).numpy()  # relative to the robot
    losses: list[float] = []
    errors = pretrain_observation(
        policy.observation_encoder.train(),
        EncodedStills(features, state, text),
        Targets(targets, weights),
        PretextSettings(steps, batch_size=256, learning_rate=2e-3, weight_decay=1e-3, seed=seed),
        report=lambda step, loss: losses.append(loss),
    )
    return errors, losses, policy.observation_encoder.state_dict()


@pytest.mark.parametrize("device", DEVICES)
def test_the_named_object_is_located_in_held_out_stills(device: str) -> None:
    errors, losses, _ = pretrain(400, device=device)
    assert errors.shape == (STILLS // 20, INSTRUCTIONS, 2), "a twentieth is held out, under every instruction"
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:10])
    # Targets spread over 0.8; ignoring the instruction gives errors of half a unit.
    assert np.median(errors) < 0.15


def test_unknown_targets_are_ignored() -> None:
    targets = np.zeros((STILLS, INSTRUCTIONS, 2), np.float32)
    targets[:, :, 0] = np.arange(STILLS)[:, None] % 2
    targets[:, 1:, 1] = np.nan  # known under the first instruction only
    targets[::2, 0, 1] = 1.0
    errors, losses, after = pretrain(3, targets=targets)
    assert np.isfinite(losses).all() and all(weight.isfinite().all() for weight in after.values())
    assert np.isfinite(errors[:, 0]).all() and np.isnan(errors[:, 1:, 1]).all()
    assert np.isfinite(errors[..., 0]).all()


def test_only_the_mlp_and_the_text_projection_change() -> None:
    before = new_policy(variant_config(observation_layers=2, n_obs_steps=2)).observation_encoder.state_dict()
    _, _, after = pretrain(2)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith(("mixer.", "text_encoder.projection.")) for name in changed)


@pytest.mark.slow
def test_positions_do_not_depend_on_speed() -> None:
    torch.manual_seed(2)
    features = torch.rand(200, 1, WIDTH).expand(-1, 2, -1)  # of both steps
    state, text = torch.rand(200, 1, STATE_DIM), torch.randn(200, WIDTH)
    moved = STATE_NOISE * torch.randn(200, 1, STATE_DIM)
    changes = []
    for steps in (1, 300):
        config = variant_config(observation_layers=2, n_obs_steps=2, state_differences=30.0)
        encoder = new_policy(config).observation_encoder
        weights = pretrain(steps, differences=30.0)[2]
        encoder.load_state_dict(weights)
        assert encoder.mixer is not None
        with torch.no_grad():
            named = encoder.text_encoder(text)  # (200, H)
            slow, fast = (
                encoder.mixer.fuse(encoder.concatenate(features, encoder.state_features(states), named))
                for states in (torch.cat((state, state), dim=1), torch.cat((state + moved, state), dim=1))
            )  # (200, H)
        changes.append(float((fast - slow).std() / slow.std(dim=0).mean()))
    assert changes[1] < 0.5 * changes[0], changes


def test_the_same_seed_gives_the_same_result() -> None:
    assert pretrain(3)[1] == pretrain(3)[1] != pretrain(3, seed=1)[1]


def test_a_target_without_weight_is_not_learned() -> None:
    assert pretrain(1, weights=np.zeros(2, np.float32))[1] == [0.0]


def test_a_policy_without_the_mlp_is_refused() -> None:
    policy = new_policy(variant_config())
    none = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="observation_layers"):
        pretrain_observation(
            policy.observation_encoder,
            EncodedStills(none, none, none),
            Targets(np.zeros((1, 1, 1), np.float32)),
            PretextSettings(1, batch_size=1, learning_rate=1e-3, weight_decay=0.0),
        )
