# SPDX-License-Identifier: Apache-2.0
"""Delay-conditioned training and sampling with given actions, and warm starts whose grippers may change."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_policy import ACTION_DIM, TASKS, random_observation, random_stats, tiny_config, tiny_tokenizer
from tiny_variants import shaken_policy, variant_config
from torch import Tensor, nn

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import make_objective
from dit_policy_ros.policy.sampling import (
    ActionPrefix,
    committed_rows,
    draw_given,
    given_actions,
    warm_start,
    with_marks,
)

DDIM = {"noise_scheduler_type": "DDIM", "num_inference_steps": 10, "num_train_timesteps": 100}
OBJECTIVES: tuple[dict[str, Any], ...] = (
    DDIM | {"prediction_type": "sample", "clip_sample": False},
    DDIM | {"clip_sample": False},
    {"objective": "flow_matching", "num_integration_steps": 10},
    {"objective": "flow_matching", "num_integration_steps": 10, "integration_method": "rk4"},
)
ROWS = 8


def config(**options: Any) -> PolicyConfig:
    return tiny_config(**({"trained_delay": 3, "horizon": ROWS} | options))


class Spy(nn.Module):
    """Remembers what it was asked, and predicts zeros."""

    def forward(self, x: Tensor, t: Tensor, observation: Tensor) -> Tensor:
        self.x, self.t = x, t
        return self.predicted if hasattr(self, "predicted") else torch.zeros_like(x[..., :-1])


def test_every_number_of_given_rows_is_equally_likely() -> None:
    torch.manual_seed(0)
    given = draw_given(config(), 8000, torch.device("cpu"))  # (B, T)
    count = given.sum(dim=1)
    assert torch.equal(given, torch.arange(ROWS) < count[:, None]), "they are the first ones"
    shares = torch.bincount(count, minlength=5) / len(count)  # the past row, and up to three delayed ones
    torch.testing.assert_close(shares, torch.full((5,), 0.2), atol=0.02, rtol=0.0)


@pytest.mark.parametrize("options", OBJECTIVES, ids=str)
def test_given_rows_are_clean_marked_and_not_counted(options: dict[str, Any]) -> None:
    objective, spy = make_objective(config(**options)), Spy()
    clean = torch.rand(64, ROWS, ACTION_DIM) + 5.0
    torch.manual_seed(0)
    objective.loss(spy, clean, None, torch.zeros(64, 1))
    is_given = spy.x[..., -1] == 1.0  # (B, T)
    assert torch.equal(spy.x[..., :-1][is_given], clean[is_given])
    assert not torch.isclose(spy.x[..., :-1][~is_given], clean[~is_given]).all(dim=-1).any()
    # A prediction that is wrong only where rows are given costs nothing.
    torch.manual_seed(0)
    wrong = torch.zeros(64, ROWS, ACTION_DIM, requires_grad=True)
    spy.predicted = wrong
    objective.loss(spy, clean, None, torch.zeros(64, 1)).backward()
    assert wrong.grad is not None
    assert bool((wrong.grad[is_given] == 0).all()) and bool((wrong.grad[~is_given] != 0).all())


@pytest.mark.parametrize("options", OBJECTIVES, ids=str)
def test_without_the_option_the_same_random_numbers_are_drawn(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    make_objective(config(**options, trained_delay=0)).loss(
        lambda x, t, o: torch.zeros_like(x), torch.zeros(4, ROWS, ACTION_DIM), None, torch.zeros(4, 1)
    )
    after = torch.rand(1)
    torch.manual_seed(0)
    objective = make_objective(config(**options, trained_delay=0))
    torch.randn(4, ROWS, ACTION_DIM)
    if options.get("objective") == "flow_matching":
        objective.sample_times(4, torch.device("cpu"))
    else:
        torch.randint(0, 100, (4,))
    assert torch.equal(torch.rand(1), after)


def ideal(objective: Any, options: dict[str, Any]) -> Any:
    """The exact predictor for demonstrations whose rows are all one number of N(0, 1), the same in each row.

    With given rows the number is known. Without, its mean given the noisy rows is a shrunken average.
    """

    def predict(x: Tensor, t: float) -> Tensor:
        rows, is_given = x[..., :-1], x[..., -1:]  # (B, T, A), (B, T, 1)
        if options.get("objective") == "flow_matching":
            signal, noise = t, 1 - t
        else:
            alpha_bar = float(objective.alpha_bar[int(t)])
            signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        count = ROWS
        average = signal * rows.sum(dim=1, keepdim=True) / (count * signal**2 + noise**2)
        known = (rows * is_given).sum(dim=1, keepdim=True) / is_given.sum(dim=1, keepdim=True).clamp(min=1)
        clean = torch.where(is_given.sum(dim=1, keepdim=True) > 0, known, average).expand_as(rows)
        if options.get("objective") == "flow_matching":
            return (clean - rows) / max(noise, 1e-9)
        if options.get("prediction_type") == "sample":
            return clean
        return (rows - signal * clean) / noise

    return predict


@pytest.mark.parametrize("options", OBJECTIVES[:3], ids=str)
def test_a_network_that_knows_the_demonstrations_continues_the_given_actions_exactly(
    options: dict[str, Any],
) -> None:
    objective = make_objective(config(**options))
    torch.manual_seed(1)
    noise = torch.randn(1, ROWS, ACTION_DIM)
    given = torch.randn(1, 1, ACTION_DIM).expand(-1, ROWS, -1)
    is_given = torch.arange(ROWS) < 3
    network = ideal(objective, options)
    sampled = objective.sample(given_actions(network, given, is_given), noise)
    torch.testing.assert_close(sampled[:, 3:], given[:, 3:], atol=2e-3, rtol=0.0)
    alone = objective.sample(given_actions(network, None, None), noise)
    assert float((alone - given).abs().max()) > 0.3, "without given actions another number is drawn"


def test_only_committed_known_and_learned_rows_are_given() -> None:
    def rows(known: list[int], committed: int) -> list[int] | None:
        is_known = torch.tensor([row in known for row in range(ROWS)])
        found = committed_rows(config(), ActionPrefix(torch.zeros(1, ROWS, ACTION_DIM), is_known, committed))
        return None if found is None else found.nonzero()[:, 0].tolist()

    assert rows(list(range(8)), 2) == [0, 1]
    assert rows(list(range(8)), 8) == [0, 1, 2, 3], "one past row and three delayed ones were trained"
    assert rows([1, 2], 4) == [0, 1, 2] and rows([5], 4) is None and rows([0], 0) is None


def write(folder: Path, **options: Any) -> Path:
    made = variant_config(**({"trained_delay": 3, "cameras": 1} | DDIM | options))
    names = tuple(f"joint_{i}" for i in range(3))
    facts = CheckpointFacts(
        fps=30.0, action_names=(*names, "left_gripper"), known_tasks=TASKS, instruction_dropout=0.1
    )
    return write_checkpoint(folder, shaken_policy(made), random_stats(made), facts, tiny_tokenizer())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"objective": "flow_matching"},
        {"objective": "flow_matching", "integration_method": "rk4"},
        {"conditioning": "joint"},
        {"relative_entries": (0, 1)},
    ],
    ids=str,
)
def test_a_chunk_begins_with_the_committed_actions_in_every_form(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    folder = write(tmp_path / "c", **options)
    chunks = []
    for backend in ("plain", "eager", "traced"):
        policy = load_policy(folder, backend=backend, real_time_chunking=True, guidance_scale=1.5)
        assert policy.uses_previous
        images, state = random_observation(policy.checkpoint.config)
        noise = np.full((policy.horizon, policy.action_dim), 0.2, np.float32)
        known = np.linspace(-0.2, 0.3, policy.horizon)[:, None] * np.ones((1, policy.action_dim))
        previous = Continuation(known, committed=3)
        chunk = policy.predict(images, state, TASKS[0], noise, previous)
        np.testing.assert_allclose(chunk[:2], known[1:3], atol=1e-5)  # row 0 is the newest observation's
        chunks.append(chunk)
        free = policy.predict(images, state, TASKS[0], noise)
        assert np.abs(free[:2] - known[1:3]).max() > 1e-3
        assert np.abs(free[2:] - chunk[2:]).max() > 1e-5, "the other rows depend on the given ones"
    for chunk in chunks[1:]:
        np.testing.assert_allclose(chunk, chunks[0], atol=1e-4)


def test_blocks_of_a_network_with_marks_can_be_cached(tmp_path: Path) -> None:
    from dit_policy_ros.policy.inference._block_calibration import _Sampler

    policy = load_policy(write(tmp_path / "c"), backend="eager")
    images, state = random_observation(policy.checkpoint.config)
    sampler = _Sampler(policy.engine)
    observation = policy.observe(images, state, TASKS[0])
    updates = [list(range(policy.steps))] * 2 * policy.checkpoint.config.num_layers
    assert sampler.deviation(observation, 0, updates) < 1e-5, "all blocks are computed at every step"


def test_the_trained_network_needs_no_gradients(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", objective="flow_matching")
    assert "gradients" not in load_policy(folder, backend="traced", real_time_chunking=True).backend


def test_a_short_training_learns_to_continue() -> None:
    """Rows that all are one random number: with two given, the others follow."""
    from dit_policy_ros.policy.network import DiffusionTransformer

    torch.manual_seed(0)
    made = config(**OBJECTIVES[0], n_obs_steps=1, dropout=0.0, num_layers=1, trained_delay=3)
    network, objective = DiffusionTransformer(made, 4), make_objective(made)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(250):
        clean = torch.randn(64, 1, ACTION_DIM).expand(-1, ROWS, -1)
        loss = objective.loss(network, clean, None, torch.zeros(64, 4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    given, is_given = torch.randn(32, 1, ACTION_DIM).expand(-1, ROWS, -1), torch.arange(ROWS) < 2

    def predict(x: Tensor, t: float) -> Tensor:
        return network(x, torch.full((len(x),), t), torch.zeros(len(x), 4))

    with torch.no_grad():
        noise = torch.randn(32, ROWS, ACTION_DIM)
        clean = torch.where(is_given[:, None], given, noise)
        follows = objective.sample(
            lambda x, t: predict(
                with_marks(torch.where(is_given[:, None], clean, x), is_given.expand(32, -1)), t
            ),
            noise,
        )
    error = (follows[:, 2:] - given[:, 2:]).square().mean() / given.var()
    assert float(error) < 0.3, float(error)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_a_small_gripper_is_decided_by_the_observation(scale: float) -> None:
    """Grippers are at -1 or 1, divided by the scale. They were closed; the observation opens 90% of them."""
    options = {"noise_scheduler_type": "DDIM", "num_train_timesteps": 100, "num_inference_steps": 20}
    objective = make_objective(
        config(
            **options, prediction_type="sample", trained_delay=0, horizon=1, n_obs_steps=1, n_action_steps=1
        )
    )

    def predict(x: Tensor, t: float) -> Tensor:  # the exact mean of x_0: log odds of the prior and of x_t
        alpha_bar = float(objective.alpha_bar[int(t)])
        odds = 0.5 * np.log(9.0) + x / scale * alpha_bar**0.5 / (1 - alpha_bar)
        return torch.tanh(odds) / scale

    torch.manual_seed(0)
    count = 4000
    previous = ActionPrefix(-torch.ones(count, 1, 1) / scale, torch.ones(1, dtype=torch.bool), 1)
    x, first = warm_start(objective, previous, torch.randn(count, 1, 1), 8)
    opened = float((objective.sample(predict, x, first) > 0).float().mean())
    if scale == 1.0:
        assert opened < 0.25, "as it is, the previous chunk decides"
    else:
        assert opened > 0.8, "covered by the noise, the observation does"


def test_the_delay_must_leave_something_to_predict() -> None:
    with pytest.raises(
        CheckpointError, match=r"trained_delay: expected 0 \(off\) to horizon - n_obs_steps \(6\)"
    ):
        config(trained_delay=7).check("config.json")
    assert dataclasses.replace(config(), trained_delay=0).most_given == 0


@pytest.mark.parametrize(
    ("known", "committed", "given"),
    [
        ([1, 1, 1, 1, 1, 0, 0, 0], 3, [1, 1, 1, 0, 0, 0, 0, 0]),
        ([0, 1, 1, 1, 1, 1, 0, 0], 3, [1, 1, 1, 0, 0, 0, 0, 0]),  # LeRobot knows only what comes
        ([0, 0, 1, 1, 1, 1, 0, 0], 2, None),
        ([1, 0, 1, 1, 1, 1, 0, 0], 4, [1, 0, 0, 0, 0, 0, 0, 0]),
        ([1, 1, 1, 1, 1, 1, 1, 1], 8, [1, 1, 1, 1, 0, 0, 0, 0]),  # as many as in training
    ],
)
def test_rows_are_given_as_in_training_from_the_first_one_on(
    known: list[int], committed: int, given: list[int] | None
) -> None:
    is_known = torch.tensor(known, dtype=torch.bool)
    rows = committed_rows(config(), ActionPrefix(torch.zeros(1, ROWS, ACTION_DIM), is_known, committed))
    assert (None if rows is None else rows.int().tolist()) == given
