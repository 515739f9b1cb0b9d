# SPDX-License-Identifier: Apache-2.0
"""Finds the largest number of denoising steps that keeps a latency limit."""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DitPolicyError

Measure = Callable[[int], NDArray[np.float64]]
"""Measures some latencies [s] with a number of steps, after a warm-up."""


@dataclass(frozen=True, slots=True)
class StepBudget:
    """A number of denoising steps and its measured latency."""

    steps: int
    latency_p95: float  # [s]


def fit_steps(
    measure: Measure, most: int, max_latency: float, usable: Sequence[int] | None = None
) -> StepBudget:
    """Find the largest number of steps that keeps ``max_latency``.

    Latency is nearly a constant plus a time per step, so two measurements predict where to look next. The
    result itself has always been measured.

    Args:
        measure: called with 1 to ``most`` steps.
        most: the number of steps to use if the latency allows it.
        max_latency: limit of the 95th percentile [s].
        usable: the numbers of steps to choose from, 1 among them; None means all.

    Raises:
        DitPolicyError: one step already takes longer.
    """
    known: dict[int, float] = {}
    numbers = sorted(set(range(1, most + 1) if usable is None else (n for n in usable if n <= most)))

    def p95(steps: int) -> float:
        if steps not in known:
            known[steps] = float(np.percentile(measure(steps), 95))
        return known[steps]

    if p95(numbers[-1]) <= max_latency:
        return StepBudget(numbers[-1], known[numbers[-1]])
    if len(numbers) == 1 or p95(numbers[0]) > max_latency:
        raise DitPolicyError(
            f"max_latency: one denoising step takes {p95(1):.3f} s (p95, measured here), but max_latency is "
            f"{max_latency:g} s. Use a smaller model, a GPU, or dtype bfloat16 if the CPU supports it, or "
            f"raise max_latency."
        )
    low, high, measured = 0, len(numbers) - 1, 0  # indices; low keeps the limit, high does not
    while high - low > 1:
        least, largest = numbers[low], numbers[high]
        per_step = (known[largest] - known[least]) / (largest - least)
        if per_step > 0 and (measured < 2 or measured % 2):
            steps = least + int((max_latency - known[least]) / per_step)
            guess = bisect.bisect_right(numbers, steps) - 1
        else:
            guess = (low + high) // 2  # in case the latency is not linear
        guess = min(max(guess, low + 1), high - 1)
        low, high = (guess, high) if p95(numbers[guess]) <= max_latency else (low, guess)
        measured += 1
    return StepBudget(numbers[low], known[numbers[low]])
