# SPDX-License-Identifier: Apache-2.0
"""States far outside the training data are limited and named; what rested in the data counts as constant."""

import numpy as np
import pytest
import torch
from torch import Tensor

from dit_policy_ros.data.dataset import vector_stats
from dit_policy_ros.policy.config import Feature, FeatureType, NormalizationMode
from dit_policy_ros.policy.processing import StateRange, make_normalizer, raise_resting

NAMES = ("shoulder", "elbow", "gripper", "resting")
MODES = [mode for mode in NormalizationMode if mode is not NormalizationMode.IDENTITY]


def recorded(noise: float, unit: float = 1.0, seed: int = 0) -> np.ndarray:
    """States (M, 4): two joints that move, a gripper in metres, and a joint that rests at 0.7 rad."""
    rng = np.random.default_rng(seed)
    moving = rng.uniform((-1.0, -0.4, 0.0), (1.0, 1.2, 0.04), (400, 3))
    resting = 0.7 + noise * rng.standard_normal((400, 1))
    return (np.concatenate((moving, resting), axis=1) * unit).astype(np.float32)


def statistics(states: np.ndarray) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value) for name, value in vector_stats(states).items()}


def scaled(stats: dict[str, Tensor], mode: NormalizationMode, state: np.ndarray) -> np.ndarray:
    feature = Feature(FeatureType.STATE, (len(state),))
    scale = make_normalizer("observation.state", feature, mode, stats, 1e-8, "pre.json")
    known = StateRange.of(stats, len(state), mode)
    return scale.normalize(torch.from_numpy(known.limit(state.astype(np.float32)))).numpy()


@pytest.mark.parametrize("unit", [1.0, 57.3], ids=["rad", "degrees"])
@pytest.mark.parametrize("noise", [0.0, 1e-5, 1e-3], ids=["constant", "encoder noise", "a trembling arm"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_raised", [True, False], ids=["trained here", "foreign"])
def test_a_resting_joint_cannot_reach_the_network(
    mode: NormalizationMode, noise: float, unit: float, is_raised: bool
) -> None:
    states = recorded(noise, unit)
    stats = statistics(states)
    stats = raise_resting(stats) if is_raised else stats
    inside = np.abs(scaled(stats, mode, states[0])).max()
    for off in (1e-4, 1e-3, 0.02, 0.1):
        state = states[0].copy()
        state[3] += off * unit
        assert np.abs(scaled(stats, mode, state)).max() < max(inside, 9.0)
        if is_raised and off <= 1e-3:  # what the network sees differs by less than it has seen, or little
            moved = np.abs(scaled(stats, mode, state)[3] - scaled(stats, mode, states[0])[3])
            assert moved < 1.0


def test_a_state_within_the_range_is_not_changed_by_one_bit() -> None:
    states = recorded(0.02)
    known = StateRange.of(statistics(states), 4, NormalizationMode.MIN_MAX)
    assert known.limit(states).tobytes() == states.tobytes()
    assert not any(known.unseen(state) for state in states)
    nearly = states[0] + np.float32(0.3) * (known.high - known.low)
    assert known.limit(nearly)[:3].tobytes() == nearly[:3].tobytes()


@pytest.mark.parametrize(
    ("state", "unseen", "far"),
    [
        ([0.0, 0.0, 0.02, 0.7], [], []),
        ([0.0, 0.0, 0.02, 0.705], [], []),  # less than what counts as rest
        ([0.0, 0.0, 0.02, 0.75], ["resting"], []),
        ([0.0, 0.0, 0.02, 1.3], ["resting"], ["resting"]),
        ([1.5, 1.5, 0.05, 0.7], [], []),  # a policy may extrapolate a little
        ([0.0, 0.0, -0.06, 0.7], ["gripper"], []),
        ([6.0, 0.0, 0.02, 0.75], ["shoulder", "resting"], ["shoulder"]),
        ([-90.0, 30.0, 20.0, 40.0], ["gripper", "shoulder", "resting", "elbow"], [*NAMES]),  # degrees, mm
    ],
)
def test_joints_far_outside_are_named(state: list[float], unseen: list[str], far: list[str]) -> None:
    known = StateRange.of(statistics(recorded(0.0)), 4, NormalizationMode.MIN_MAX)
    found = known.unseen(np.array(state, np.float32))
    assert sorted(NAMES[each.entry] for each in found) == sorted(unseen)
    assert sorted(NAMES[each.entry] for each in found if each.is_far) == sorted(far)
    for each in found:
        assert each.describe(NAMES).startswith(
            f"{NAMES[each.entry]} is at {state[each.entry]:.4g}, which is "
        )
    if "resting" in unseen and len(unseen) == 1:
        assert f"{state[3] - 0.7:.3g} outside the range" in found[0].describe(NAMES)


def test_a_limb_that_rests_does_not_decide_what_is_typical() -> None:
    """One arm of four moves; a HOLD for millimetres of the others would be worse than none."""
    rng = np.random.default_rng(1)
    resting = 0.3 + 1e-3 * rng.standard_normal((400, 21))
    states = np.concatenate((rng.uniform(-1, 1, (400, 7)), resting), axis=1).astype(np.float32)
    known = StateRange.of(statistics(states), 28, NormalizationMode.MIN_MAX)
    (found,) = known.unseen(states[0] + np.eye(28, dtype=np.float32)[20] * 0.1)
    assert found.entry == 20 and not found.is_far


@pytest.mark.parametrize(
    ("stats", "inside", "outside"),
    [
        ({}, 1e6, None),
        ({"mean": torch.zeros(1), "std": torch.ones(1)}, 3.0, 60.0),
        ({"q01": torch.zeros(1), "q99": torch.ones(1)}, 1.5, 60.0),
        ({"min": torch.zeros(3), "max": torch.ones(3)}, 1e6, None),  # of another length
    ],
)
def test_the_range_comes_from_the_statistics_that_there_are(
    stats: dict[str, Tensor], inside: float, outside: float | None
) -> None:
    known = StateRange.of(stats, 1, NormalizationMode.QUANTILES)
    assert not known.unseen(np.array([inside], np.float32))
    assert np.isfinite(known.centre).all()
    if outside is not None:
        (found,) = known.unseen(np.array([outside], np.float32))
        assert found.is_far and found.describe(()).startswith("state entry 0 is at 60")


def test_a_gripper_that_is_nearly_always_closed_is_scaled_by_its_whole_range() -> None:
    states = recorded(0.0)
    states[:, 2] = 0.0
    states[7, 2] = 0.04
    raised = raise_resting(statistics(states))
    for mode in MODES:
        assert np.abs(scaled(raised, mode, states[7])[2]) < 25
        assert np.abs(scaled(raised, mode, states[7])[2] - scaled(raised, mode, states[0])[2]) > 0.5


def test_constant_actions_stay_exact_and_small_ones_become_small() -> None:
    actions = recorded(0.0)
    actions[:, 2] = 0.01 + 1e-5 * np.random.default_rng(0).standard_normal(400)
    stats = statistics(actions)
    raised = raise_resting(stats, keep_constants=True)
    for name, value in stats.items():
        assert torch.equal(raised[name][[0, 1, 3]], value[[0, 1, 3]]), name
    feature = Feature(FeatureType.ACTION, (4,))
    scale = make_normalizer("action", feature, NormalizationMode.MIN_MAX, raised, 1e-8, "post.json")
    assert scale.normalize(torch.from_numpy(actions)).abs()[:, 2].max() < 0.05
    assert scale.unnormalize(torch.zeros(4))[3] == torch.tensor(0.7)
