# SPDX-License-Identifier: Apache-2.0
"""The training loss: squared or absolute errors, without padded steps."""

import pytest
import torch

from dit_policy_ros.policy.sampling import ELEMENTWISE_LOSSES
from dit_policy_ros.policy.sampling._loss import masked_mean


def test_absolute_errors_prefer_the_median_and_squared_errors_the_mean() -> None:
    """With demonstrations that differ, squares are smallest at the mean, absolutes at the median."""
    wanted = torch.tensor([0.0, 0.0, 0.0, 1.0])[:, None, None]  # (4, 1, 1), one of four moves early
    best = {}
    for name, deviation in ELEMENTWISE_LOSSES.items():
        answers = torch.linspace(0.0, 1.0, 101)
        costs = [masked_mean(deviation, answer.expand_as(wanted), wanted, None) for answer in answers]
        best[name] = float(answers[int(torch.stack(costs).argmin())])
    assert best == {"mse": pytest.approx(0.25), "l1": pytest.approx(0.0)}


@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_padding_does_not_count(loss: str) -> None:
    target = torch.randn(2, 5, 3)
    predicted, is_pad = target + 0.5, torch.zeros(2, 5, dtype=torch.bool)
    predicted[1, 3:], is_pad[1, 3:] = 99.0, True
    expected = {"mse": 0.25, "l1": 0.5}[loss]
    assert float(masked_mean(ELEMENTWISE_LOSSES[loss], predicted, target, is_pad)) == pytest.approx(
        expected, rel=1e-5
    )
