# SPDX-License-Identifier: Apache-2.0
"""Properties of the transformer and its embeddings."""

import torch
from tiny_policy import tiny_config

from dit_policy_ros.policy.network import DiffusionTransformer
from dit_policy_ros.policy.network._attention import RotaryEmbedding
from dit_policy_ros.policy.network._transformer import SinusoidalEmbedding


def test_every_layer_of_a_new_network_is_the_identity() -> None:
    torch.manual_seed(0)
    config = tiny_config()
    network = DiffusionTransformer(config, observation_dim=12).eval()
    x = torch.randn(3, config.horizon, config.action_dim)
    out = network(x, torch.tensor([0, 5, 19]), torch.randn(3, 12))
    torch.testing.assert_close(out, network.output_proj(network.input_proj(x)))
    # The gates can still learn: they get gradients although the output does not depend on them yet.
    out.square().sum().backward()
    gates = network.transformer_blocks[0].adaLN_modulation[-1].weight.grad
    assert gates is not None and gates.abs().max() > 0


def test_scores_of_rotated_vectors_depend_on_relative_positions_only() -> None:
    torch.manual_seed(0)
    rope = RotaryEmbedding(head_dim=8, max_length=32, base=10000.0)
    query, key = torch.randn(8), torch.randn(8)
    rotated_query = rope(query.expand(1, 1, 32, 8))[0, 0]  # (32, 8)
    rotated_key = rope(key.expand(1, 1, 32, 8))[0, 0]
    scores = rotated_query @ rotated_key.T  # (32, 32)
    for offset in (0, 1, 7, 20):
        diagonal = scores.diagonal(offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-5)
    assert (scores[0, 0] - scores[0, 9]).abs() > 1e-2, "positions must matter"
    torch.testing.assert_close(rotated_query.norm(dim=-1), query.norm().expand(32))


def test_only_with_positions_the_network_distinguishes_steps() -> None:
    x = torch.randn(1, 1, 4).expand(1, 8, 4)  # the same noisy action at every step
    for options, distinguishes in (
        ({"use_rope": False, "use_positional_encoding": False}, False),
        ({"use_rope": False, "use_positional_encoding": True}, True),
    ):
        torch.manual_seed(0)
        network = DiffusionTransformer(tiny_config(**options), observation_dim=12).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
            out = network(x, torch.tensor([3]), torch.randn(1, 12))
        assert (float(out.std(dim=1).max()) > 1e-4) is distinguishes


def test_time_features_separate_neighbouring_steps() -> None:
    features = SinusoidalEmbedding(16)(torch.arange(100))
    assert features.shape == (100, 16)
    gaps = torch.cdist(features, features) + 10 * torch.eye(100)
    assert float(gaps.min()) > 0.1
