# SPDX-License-Identifier: Apache-2.0
"""A new network tells its instructions apart from the first step on."""

import pytest
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_encoders import encoder_config, encoder_policy, word_tokenizer
from tiny_policy import TASKS
from torch import Tensor

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import _initial, initial_policy, spread_instructions


def vectors(policy: DiTPolicy, texts: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Of the frozen text encoder, and after the projection."""
    encoder = policy.observation_encoder.text_encoder
    with torch.no_grad():
        pooled = torch.cat([encoder.pool(*word_tokenizer()([text])) for text in texts])
        return pooled, encoder(pooled)


def test_the_projections_inputs_vary_by_one_around_zero_and_the_function_is_affine_as_before() -> None:
    policy = encoder_policy(encoder_config())
    pooled, before = vectors(policy, TASKS)
    weight, bias = (
        each.detach().clone() for each in policy.observation_encoder.text_encoder.projection.parameters()
    )
    spread_instructions(policy, word_tokenizer(), TASKS)
    mean = pooled.mean(dim=0)
    spread = (pooled - mean).square().mean().sqrt()
    after = vectors(policy, TASKS)[1]
    torch.testing.assert_close(after, (pooled - mean) / spread @ weight.T + bias, rtol=1e-4, atol=1e-4)
    grown = (after[0] - after[1]).norm() / (before[0] - before[1]).norm()
    assert grown == pytest.approx(float(1 / spread), rel=1e-3) and grown > 2


def test_one_instruction_and_vectors_of_each_word_stay_as_they_are() -> None:
    policy = encoder_policy(encoder_config())
    before = vectors(policy, TASKS)[1]
    spread_instructions(policy, word_tokenizer(), TASKS[:1])
    torch.testing.assert_close(vectors(policy, TASKS)[1], before)
    tokens = encoder_policy(encoder_config(conditioning="joint", text_tokens="all"))
    weight = tokens.observation_encoder.text_encoder.projection.weight.detach().clone()
    spread_instructions(tokens, word_tokenizer(), TASKS)
    assert torch.equal(tokens.observation_encoder.text_encoder.projection.weight, weight)


@pytest.mark.parametrize("network", ["pretrained", "clip"])
def test_a_new_pretrained_policy_begins_so_with_all_of_its_wordings(
    monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    policy, told = encoder_policy(encoder_config()), list[list[str]]()
    monkeypatch.setattr(_initial, "new_policy_config", lambda *arguments: policy.config)
    monkeypatch.setattr(_initial, "pretrained_policy", lambda *arguments: (policy, word_tokenizer()))
    monkeypatch.setattr(_initial, "spread_instructions", lambda policy, tokenizer, texts: told.append(texts))
    wordings = {TASKS[0]: (TASKS[0], "in other words")}
    initial_policy(TrainConfig(network=network), tiny_demonstrations(), None, wordings)
    assert told == ([[TASKS[0], "in other words", *TASKS[1:]]] if network == "pretrained" else [])
