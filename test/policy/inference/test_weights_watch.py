# SPDX-License-Identifier: Apache-2.0
"""After a change of the weights, nothing derived from the former ones is used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mostly_slow import mostly_slow
from tiny_policy import save_tiny, tiny_config
from tiny_variants import DDIM, infer

from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.inference import DiTRuntime
from dit_policy_ros.policy.inference import _torch_private as torch_private
from dit_policy_ros.policy.inference import _weights_watch as weights_watch
from dit_policy_ros.policy.inference._weights_watch import WeightsWatch

TOLERANCE = 1e-5  # robot units; the widest span of the made-up statistics is 1.5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "checkpoint", tiny_config(cameras=2, **DDIM))


def reload(policy: DiTRuntime) -> None:
    state = {name: tensor * 1.1 for name, tensor in policy.module.state_dict().items()}
    policy.module.load_state_dict(state)


def step(policy: DiTRuntime) -> None:
    with torch.no_grad():
        policy.module.noise_predictor.time_mlp[1].weight.mul_(1.5)


def replace(policy: DiTRuntime) -> None:
    vision = policy.module.observation_encoder.vision_encoder.model
    vision.embeddings.class_embedding = torch.nn.Parameter(-vision.embeddings.class_embedding)


def retext(policy: DiTRuntime) -> None:
    text = policy.module.observation_encoder.text_encoder.text_encoder
    with torch.no_grad():
        text.embeddings.token_embedding.weight.neg_()


@pytest.fixture(params=["write counts", "copies"])
def detection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to detect a change; copies are for a torch that does not count writes."""
    if request.param == "copies":
        monkeypatch.setattr(weights_watch, "write_counts", lambda tensors: None)


@pytest.mark.usefixtures("detection")
@pytest.mark.parametrize("change", mostly_slow([reload, step, replace, retext], 2))
def test_changed_weights_take_effect(folder: Path, change: Any) -> None:
    policy, plain = load_policy(folder), load_policy(folder, backend="plain")
    before = infer(policy)
    for each in (policy, plain):
        change(each)
    after, expected = infer(policy), infer(plain)
    np.testing.assert_allclose(after, expected, rtol=0, atol=TOLERANCE)
    assert np.abs(after - before).max() > 10 * TOLERANCE
    denoiser = policy.engine.denoiser
    infer(policy)
    assert policy.engine.denoiser is denoiser, "without a change nothing is rebuilt"


def in_place(module: torch.nn.Linear) -> None:
    with torch.no_grad():
        module.weight[0, 0] += 1e-3


def optimiser(module: torch.nn.Linear) -> None:
    module(torch.ones(3)).sum().backward()
    torch.optim.SGD(module.parameters(), 0.1).step()


def new_tensor(module: torch.nn.Linear) -> None:
    module.weight = torch.nn.Parameter(module.weight.detach() + 1.0)


def removed(module: torch.nn.Linear) -> None:
    module.bias = None


def deleted(module: torch.nn.Linear) -> None:
    del module.weight


@pytest.mark.usefixtures("detection")
@pytest.mark.parametrize("change", [in_place, optimiser, new_tensor, removed, deleted])
def test_a_change_of_one_parameter_is_detected(change: Any) -> None:
    module = torch.nn.Linear(3, 2)
    watch = WeightsWatch(torch.nn.Sequential(module))
    module(torch.ones(3))
    assert not watch.changed()
    change(module)
    assert watch.changed()


def test_weights_without_write_counts_are_compared_by_value() -> None:
    """Parameters that are made in inference mode have no write count."""
    with torch.inference_mode():
        module = torch.nn.Linear(3, 2)
    assert torch_private.write_counts(list(module.parameters())) is None
    watch = WeightsWatch(module)
    assert not watch.changed()
    with torch.inference_mode():
        module.weight.neg_()
    assert watch.changed()


def test_a_torch_that_does_not_count_writes_is_recognised() -> None:
    class Uncounted:
        """A tensor without ``_version``."""

    tensors: Any = [Uncounted()]
    assert torch_private.write_counts(tensors) is None
    assert torch_private.write_counts([torch.zeros(1), None]) == [0, None]
