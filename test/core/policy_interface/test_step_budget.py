# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.policy_interface import fit_steps


class Machine:
    """A latency [s] that is a constant plus a time per step, which grows after `kink` steps."""

    def __init__(self, constant: float, per_step: float, kink: int = 10**6) -> None:
        self.constant, self.per_step, self.kink = constant, per_step, kink
        self.measured: list[int] = []

    def __call__(self, steps: int) -> np.ndarray:
        self.measured.append(steps)
        latency = self.constant + self.per_step * (steps + 3 * max(steps - self.kink, 0))
        return np.full(12, latency)


@pytest.mark.parametrize("most", [1, 2, 10, 100])
@pytest.mark.parametrize("max_latency", [0.0601, 0.0801, 0.105, 0.5, 5.0])
@pytest.mark.parametrize("kink", [10**6, 4, 1])
def test_the_result_is_the_largest_number_within_the_limit(most: int, max_latency: float, kink: int) -> None:
    machine = Machine(0.05, 0.01, kink)
    fitting = [k for k in range(1, most + 1) if machine(k)[0] <= max_latency]
    machine.measured.clear()
    budget = fit_steps(machine, most, max_latency)
    assert budget.steps == fitting[-1]
    assert budget.latency_p95 == pytest.approx(machine(budget.steps)[0]) and budget.latency_p95 <= max_latency
    assert len(machine.measured) <= 12, "each measurement needs several inferences"


def test_a_linear_latency_needs_few_measurements() -> None:
    machine = Machine(0.05, 0.01)
    fit_steps(machine, 100, 0.305)
    assert len(machine.measured) <= 4


def test_the_95th_percentile_decides() -> None:
    def measure(steps: int) -> np.ndarray:
        latencies = np.full(20, 0.01 * steps)
        latencies[-2:] *= 3
        return latencies

    assert fit_steps(measure, 10, 0.1).steps == 3


def test_a_limit_below_one_step_is_refused_with_the_figures() -> None:
    with pytest.raises(DitPolicyError, match=r"one denoising step takes 0.060 s .*max_latency is 0.05 s"):
        fit_steps(Machine(0.05, 0.01), 10, 0.05)
    with pytest.raises(DitPolicyError, match="one denoising step"):
        fit_steps(Machine(0.05, 0.01), 1, 0.05)


@pytest.mark.parametrize("max_latency", [0.0601, 0.0801, 0.105, 0.255, 0.56, 0.66, 5.0])
@pytest.mark.parametrize("kink", [10**6, 4])
def test_only_usable_numbers_are_measured_and_chosen(max_latency: float, kink: int) -> None:
    usable = [1, 2, 4, 5, 10, 20, 25, 50, 100]
    for most in (100, 60, 50, 3):
        machine = Machine(0.05, 0.01, kink)
        fitting = [n for n in usable if n <= most and machine(n)[0] <= max_latency]
        machine.measured.clear()
        assert fit_steps(machine, most, max_latency, usable).steps == fitting[-1]
        assert set(machine.measured) <= set(usable) and len(machine.measured) <= 7
