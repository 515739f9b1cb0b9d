# SPDX-License-Identifier: Apache-2.0
"""The largest number of sampling steps whose latency fits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DitPolicyError

Measure = Callable[[int], NDArray[np.float64]]
"""Latencies [s] of some inferences with so many steps, warm."""


@dataclass(frozen=True, slots=True)
class StepBudget:
    """A number of steps and its latency, measured."""

    steps: int
    latency_p95: float  # [s]


def fit_steps(measure: Measure, most: int, max_latency: float) -> StepBudget:
    """Find the steps: latency is a constant plus a share per step, so two measurements predict the rest.

    What is returned has been measured to fit; the prediction only says where to look.

    Args:
        measure: called with 1 to ``most`` steps.
        most: steps to use if they fit.
        max_latency: the 95th percentile must not exceed it [s].

    Raises:
        DitPolicyError: not even one step fits.
    """
    known: dict[int, float] = {}

    def p95(steps: int) -> float:
        if steps not in known:
            known[steps] = float(np.percentile(measure(steps), 95))
        return known[steps]

    if p95(most) <= max_latency:
        return StepBudget(most, known[most])
    if most == 1 or p95(1) > max_latency:
        raise DitPolicyError(
            f"max_latency: one denoising step takes {p95(1):.3f} s (p95, measured here), but max_latency is "
            f"{max_latency:g} s. Use a smaller model, a GPU or dtype bfloat16 where the CPU has it, or "
            f"raise max_latency."
        )
    low, high, measured = 1, most, 0  # low fits, high does not
    while high - low > 1:
        per_step = (known[high] - known[low]) / (high - low)
        if per_step > 0 and (measured < 2 or measured % 2):
            guess = low + int((max_latency - known[low]) / per_step)
        else:
            guess = (low + high) // 2  # for a latency that is no straight line
        guess = min(max(guess, low + 1), high - 1)
        low, high = (guess, high) if p95(guess) <= max_latency else (low, guess)
        measured += 1
    return StepBudget(low, known[low])
