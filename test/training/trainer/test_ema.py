# SPDX-License-Identifier: Apache-2.0
"""The moving average of the weights."""

import copy

import pytest
import torch
from torch import nn

from dit_policy_ros.training.trainer._ema import EmaModel


def perturb(network: nn.Module) -> None:
    """Change the trained weights as an optimiser step does."""
    with torch.no_grad():
        for weight in network.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight))


def make_network() -> nn.Sequential:
    """Two layers; the first is frozen."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    network[0].requires_grad_(False)
    return network


def test_the_average_approaches_the_weights_slowly() -> None:
    network = nn.Linear(1, 1)
    ema = EmaModel(network, decay=0.9)
    start = ema.module.weight.item()
    with torch.no_grad():
        network.weight.add_(1.0)
    values = []
    for _ in range(200):
        ema.update_parameters(network)
        values.append(ema.module.weight.item() - start)
    assert values == sorted(values) and values[0] < 0.9 and values[-1] == pytest.approx(1.0, abs=1e-3)


def test_the_decay_is_short_at_first() -> None:
    """Update n has the decay (1 + n) / (10 + n), at most ``decay``: bit for bit a lerp with that weight."""
    network = make_network()
    ema = EmaModel(network, decay=0.25)
    expected = network[1].weight.detach().clone()
    for count in range(1, 6):
        perturb(network)
        ema.update_parameters(network)
        expected = torch.lerp(expected, network[1].weight.detach(), 1 - min(0.25, (1 + count) / (10 + count)))
        assert torch.equal(ema.module[1].weight, expected)


def test_frozen_weights_are_shared_and_nothing_needs_a_gradient() -> None:
    network = make_network()
    ema = EmaModel(network, decay=0.9)
    assert ema.module[0].weight.data_ptr() == network[0].weight.data_ptr()
    assert ema.module[1].weight.data_ptr() != network[1].weight.data_ptr()
    assert not any(weight.requires_grad for weight in ema.parameters()) and not ema.module.training
    assert network[1].weight.requires_grad
    network.requires_grad_(False)
    all_frozen = EmaModel(network, decay=0.9)
    all_frozen.update_parameters(network)
    assert torch.equal(all_frozen.module[1].weight, network[1].weight)


def test_without_decay_it_follows_the_last_weights() -> None:
    network = make_network()
    ema = EmaModel(network, decay=0.0)
    perturb(network)
    ema.update_parameters(network)
    assert torch.equal(ema.module[1].weight, network[1].weight)


def test_a_state_continues_where_it_was_saved() -> None:
    network = make_network()
    ema = EmaModel(network, decay=0.9)
    for _ in range(3):
        perturb(network)
        ema.update_parameters(network)
    state = copy.deepcopy(ema.state_dict())
    resumed_network = copy.deepcopy(network)
    resumed = EmaModel(resumed_network, decay=0.9)
    resumed.load_state_dict(state)
    assert int(resumed.n_averaged) == int(ema.n_averaged) == 4
    for each, average in ((network, ema), (resumed_network, resumed)):
        torch.manual_seed(7)
        perturb(each)
        average.update_parameters(each)
    for a, b in zip(ema.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
