# SPDX-License-Identifier: Apache-2.0
"""Each conditioning starts as the identity, learns, samples, and uses the whole observation."""

import dataclasses

import pytest
import torch
from tiny_policy import ACTION_DIM, STATE_DIM
from tiny_variants import (
    CONDITIONINGS,
    PATCHES,
    TOKEN_CONDITIONINGS,
    WIDTH,
    new_policy,
    shaken_policy,
    variant_config,
)
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import Batch, DiTPolicy
from dit_policy_ros.policy.encoders import FusionMLP, conditioning_parts, places
from dit_policy_ros.policy.encoders._columns import IMAGE
from dit_policy_ros.policy.network import DiffusionTransformer

TOKEN_COUNT = 7
OPTIONS: dict[str, dict] = {
    **{name: {"conditioning": name} for name in CONDITIONINGS},
    "fusion MLP": {"observation_layers": 2},
}


def random_conditioning(config: PolicyConfig, batch: int, dim: int = 12) -> Tensor:
    """A random vector or random tokens (B, 12) or (B, 7, H) as the encoded observation."""
    if config.conditioning == "adaln":
        return torch.randn(batch, dim)
    return torch.randn(batch, TOKEN_COUNT, config.hidden_dim)


def random_batch(config: PolicyConfig, batch: int = 3) -> Batch:
    cameras, steps = len(config.image_features), config.n_obs_steps
    return Batch(
        state=torch.randn(batch, steps, STATE_DIM),
        pooled_text=torch.randn(batch, WIDTH),
        action=torch.rand(batch, config.horizon, ACTION_DIM) - 0.5,
        images=torch.randn(batch, steps, cameras, 3, 30, 40) if cameras else None,
    )


@pytest.mark.parametrize("use_rope", [True, False])
@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_every_layer_of_a_new_network_is_the_identity(conditioning: str, use_rope: bool) -> None:
    torch.manual_seed(0)
    config = variant_config(conditioning=conditioning, use_rope=use_rope, num_layers=3)
    network = DiffusionTransformer(config, observation_dim=12).eval()
    x = torch.randn(3, config.horizon, ACTION_DIM)
    out = network(x, torch.tensor([0, 5, 19]), random_conditioning(config, 3))
    torch.testing.assert_close(out, network.output_proj(network.input_proj(x)))
    # The gates can still learn: they get gradients although the output does not depend on them yet.
    out.square().sum().backward()
    modulations = [p for n, p in network.named_parameters() if n.endswith("adaLN_modulation.1.weight")]
    assert all(p.grad is not None and not p.any() for p in modulations)
    assert sum(bool(p.grad.abs().max() > 0) for p in modulations) >= config.num_layers


@pytest.mark.parametrize("cameras", [0, 2])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_every_parameter_gets_a_gradient(options: dict, cameras: int) -> None:
    config = variant_config(cameras=cameras, num_layers=3, **options)
    policy = shaken_policy(config).train()
    policy(random_batch(config)).backward()
    no_gradient = [
        name
        for name, parameter in policy.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert no_gradient == []


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_actions_depend_on_every_step_camera_and_the_text(options: dict) -> None:
    config = variant_config(cameras=2, n_obs_steps=2, **options)
    policy = shaken_policy(config)
    encoder = policy.observation_encoder
    torch.manual_seed(1)
    batch = random_batch(config, 1)
    noise = torch.randn(1, config.horizon, ACTION_DIM)
    assert batch.images is not None

    def sample(images: Tensor, state: Tensor, text: Tensor) -> Tensor:
        torch.manual_seed(2)
        return policy.sample(encoder(images, state, text), noise)

    with torch.no_grad():
        before = sample(batch.images, batch.state, batch.pooled_text)
        changed = {"text": sample(batch.images, batch.state, -batch.pooled_text)}
        for step in range(2):
            state = batch.state.clone()
            state[:, step] += 1.0
            changed[f"state {step}"] = sample(batch.images, state, batch.pooled_text)
            for camera in range(2):
                images = batch.images.clone()
                images[:, step, camera] *= -1.0
                changed[f"image {step} {camera}"] = sample(images, batch.state, batch.pooled_text)
        changed["cameras swapped"] = sample(batch.images.flip(2), batch.state, batch.pooled_text)
        changed["steps swapped"] = sample(batch.images.flip(1), batch.state, batch.pooled_text)
    ignored = [name for name, after in changed.items() if float((after - before).abs().max()) < 1e-5]
    assert ignored == []


@pytest.mark.parametrize("conditioning", TOKEN_CONDITIONINGS)
def test_tokens_are_the_instruction_the_states_and_the_images(conditioning: str) -> None:
    for choice, per_image in (("all", 1 + PATCHES), ("pooled", 1)):
        config = variant_config(cameras=2, conditioning=conditioning, image_tokens=choice, n_obs_steps=3)
        policy = shaken_policy(config)
        batch = random_batch(config, 2)
        with torch.no_grad():
            tokens = policy.observation_encoder(batch.images, batch.state, batch.pooled_text)
        assert tokens.shape == (2, 1 + 3 * (1 + 2 * per_image), config.hidden_dim)


@pytest.mark.parametrize("conditioning", TOKEN_CONDITIONINGS)
def test_the_order_of_observation_tokens_does_not_matter(conditioning: str) -> None:
    torch.manual_seed(0)
    config = variant_config(conditioning=conditioning)
    network = shaken_policy(config).noise_predictor
    x, tokens = torch.randn(2, config.horizon, ACTION_DIM), random_conditioning(config, 2)
    with torch.no_grad():
        out = network(x, torch.tensor([3, 9]), tokens)
        shuffled = network(x, torch.tensor([3, 9]), tokens[:, torch.randperm(TOKEN_COUNT)])
        reversed_actions = network(x.flip(1), torch.tensor([3, 9]), tokens).flip(1)
    torch.testing.assert_close(shuffled, out, atol=1e-5, rtol=1e-4)
    assert float((reversed_actions - out).abs().max()) > 1e-4, "the order of actions must matter"


def expected_actions(state: Tensor, side: float | Tensor, horizon: int) -> Tensor:
    """(B, S, D), -1 or 1 -> (B, T, A), the actions for the newest state and the instruction."""
    return (0.4 * side + 0.5 * state[:, -1:, :ACTION_DIM]).expand(-1, horizon, -1)


def train(policy: DiTPolicy, steps: int, batch: int = 32) -> tuple[float, float]:
    """Fit "the action is half the state, shifted to one side by the instruction"; first and last loss."""
    config = policy.config
    torch.manual_seed(3)
    texts = torch.randn(2, WIDTH)
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(steps):
        task = torch.randint(0, 2, (batch,))
        state = torch.rand(batch, config.n_obs_steps, STATE_DIM) * 2 - 1
        side = (1.0 - 2.0 * task).view(-1, 1, 1)
        loss = policy(
            Batch(state=state, pooled_text=texts[task], action=expected_actions(state, side, config.horizon))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return sum(losses[:5]) / 5, sum(losses[-10:]) / 10


@pytest.mark.parametrize(
    ("conditioning", "objective"),
    [
        ("adaln", "diffusion"),
        *(pytest.param(each, "diffusion", marks=pytest.mark.slow) for each in TOKEN_CONDITIONINGS),
        ("joint", "flow_matching"),
    ],
)
def test_it_learns_actions_and_samples_them(conditioning: str, objective: str) -> None:
    config = variant_config(
        cameras=0,
        conditioning=conditioning,
        objective=objective,
        prediction_type="sample",
        noise_scheduler_type="DDIM",
        num_inference_steps=5,
        dropout=0.0,
    )
    policy = new_policy(config)
    first, last = train(policy.train(), steps=80)
    assert last < 0.4 * first
    policy.eval()
    torch.manual_seed(3)
    texts = torch.randn(2, WIDTH)
    state = torch.rand(16, config.n_obs_steps, STATE_DIM) * 2 - 1
    for text, side in zip(texts, (1.0, -1.0), strict=True):
        with torch.no_grad():
            observation = policy.observation_encoder(None, state, text.expand(16, -1))
        sampled = policy.sample(observation)
        assert sampled.shape == (16, config.horizon, ACTION_DIM) and torch.isfinite(sampled).all()
        # Compared with the actions for other states, and for the other instruction.
        error = float((sampled - expected_actions(state, side, config.horizon)).square().mean())
        assert error < 0.5 * float(
            (sampled - expected_actions(state.flip(0), side, config.horizon)).square().mean()
        )
        assert error < 0.5 * float((sampled - expected_actions(state, -side, config.horizon)).square().mean())


def test_with_the_fusion_mlp_the_vector_is_states_text_and_fused_features() -> None:
    config = variant_config(cameras=2, observation_layers=2, n_obs_steps=2)
    policy = shaken_policy(config)
    batch = random_batch(config, 2)
    with torch.no_grad():
        vector = policy.observation_encoder(batch.images, batch.state, batch.pooled_text)
        text = policy.observation_encoder.text_encoder(batch.pooled_text)
    assert vector.shape == (2, 2 * STATE_DIM + 2 * config.hidden_dim)
    assert policy.observation_encoder.output_dim == vector.shape[1]
    torch.testing.assert_close(vector[:, : 2 * STATE_DIM], batch.state.flatten(1))
    torch.testing.assert_close(vector[:, 2 * STATE_DIM : -config.hidden_dim], text)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_state_differences_replace_older_states(options: dict) -> None:
    plain = variant_config(n_obs_steps=3, **options)
    batch = random_batch(plain, 2)
    newest = batch.state[:, 2]
    differences = torch.stack(
        (20 * (batch.state[:, 0] - newest), 20 * (batch.state[:, 1] - newest), newest), dim=1
    )
    with torch.no_grad():
        expected = shaken_policy(plain).observation_encoder(batch.images, differences, batch.pooled_text)
        config = variant_config(n_obs_steps=3, state_differences=20.0, **options)
        found = shaken_policy(config).observation_encoder(batch.images, batch.state, batch.pooled_text)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_only_the_newest_images_are_used(options: dict) -> None:
    """Equal to a network that uses all images, with zero weights for the older ones."""
    config = variant_config(n_obs_steps=2, image_steps=1, cameras=2, **options)
    policy, whole = shaken_policy(config), shaken_policy(variant_config(n_obs_steps=2, cameras=2, **options))
    encoder, other = policy.observation_encoder, whole.observation_encoder
    per_step = STATE_DIM + 2 * WIDTH + config.hidden_dim
    columns = [*range(STATE_DIM), *range(STATE_DIM + 2 * WIDTH, 2 * per_step)]  # all but the older images
    weights = encoder.state_dict()
    if encoder.mixer is not None:
        widened = torch.zeros(config.hidden_dim, 2 * per_step)
        widened[:, columns] = weights["mixer.input_proj.weight"]
        weights["mixer.input_proj.weight"] = widened
    other.load_state_dict(weights)
    batch = random_batch(config, 2)
    assert batch.images is not None
    newest = batch.images[:, 1:]
    with torch.no_grad():
        found = encoder(newest, batch.state, batch.pooled_text)
        expected = other(batch.images, batch.state, batch.pooled_text)
    if encoder.tokens is not None:
        older = 2 * (1 + PATCHES)  # of two cameras, after the instruction and two states
        expected = torch.cat((expected[:, :3], expected[:, 3 + older :]), dim=1)
    elif encoder.mixer is None:
        expected = expected[:, columns]
    torch.testing.assert_close(found, expected)
    policy.train()(dataclasses.replace(batch, images=newest)).backward()


@pytest.mark.parametrize("image_steps", [0, 1])
def test_images_go_past_the_fusion_mlp_to_where_the_columns_say(image_steps: int) -> None:
    options = {"n_obs_steps": 2, "cameras": 2, "observation_layers": 1, "image_steps": image_steps}
    config = variant_config(image_skip=True, **options)
    policy, without = shaken_policy(config), shaken_policy(variant_config(**options))
    encoder, other = policy.observation_encoder, without.observation_encoder
    other.load_state_dict(encoder.state_dict())  # no weight of the encoder is another one
    batch = random_batch(config, 2)
    assert batch.images is not None
    seen = batch.images[:, 2 - config.read_image_steps :]
    with torch.no_grad():
        found = encoder(seen, batch.state, batch.pooled_text)
        images = encoder.encode_images(seen)
        rest = other(seen, batch.state, batch.pooled_text)
    where = places(conditioning_parts(config, encoder.image_dim))
    begin = config.timestep_embed_dim  # the time comes first
    ranges = {part: range(place.start - begin, place.stop - begin) for part, place in where.items()}
    ranges = {part: columns for part, columns in ranges.items() if part.kind == IMAGE}
    assert [part.camera for part in ranges] == config.read_image_steps * list(config.image_features)
    beside = torch.tensor([column for columns in ranges.values() for column in columns])
    assert found.shape[1] == encoder.output_dim == rest.shape[1] + len(beside)
    torch.testing.assert_close(found[:, beside], images.flatten(1))
    kept = torch.ones(found.shape[1], dtype=torch.bool)
    kept[beside] = False
    torch.testing.assert_close(found[:, kept], rest)
    policy.train()(dataclasses.replace(batch, images=seen)).backward()


@pytest.mark.slow
def test_a_fusion_mlp_learns_to_select_the_named_value() -> None:
    torch.manual_seed(0)
    fusion, head = FusionMLP(input_dim=6, hidden=32, layers=1), nn.Linear(32, 1)
    weights = [*fusion.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-2)

    def error() -> Tensor:
        values, named = torch.rand(256, 3) * 2 - 1, torch.randint(0, 3, (256,))
        instruction = nn.functional.one_hot(named, 3).float()
        found = head(fusion.fuse(torch.cat((values, instruction), dim=1)))  # (256, 1)
        return (found - values.gather(1, named[:, None])).square().mean()

    for _ in range(300):
        optimizer.zero_grad()
        error().backward()
        optimizer.step()
    with torch.no_grad():
        # Without products of value and instruction the best output is the mean of the values: error 2/9.
        assert float(error()) < 0.02
