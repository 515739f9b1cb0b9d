# SPDX-License-Identifier: Apache-2.0
"""The observations that a policy sees when LeRobot asks at any time."""

import pytest
import torch

from lerobot_policy_dit_policy_ros._history import ObservationHistory

PERIOD = 0.1  # [s]
STATE, IMAGE = "observation.state", "observation.images.top"


def observed(values: dict[float, float], steps: int = 2, period: float | None = PERIOD) -> ObservationHistory:
    """A history with one observation per time [s], whose state and image are a number."""
    history = ObservationHistory(steps, period, frozenset({IMAGE}))
    for at, value in values.items():
        history.add({STATE: torch.tensor([[value]]), IMAGE: torch.tensor([[value]])}, at)
    return history


def entries(history: dict[str, torch.Tensor], key: str) -> list[float]:
    return history[key][0, :, 0].tolist()


def test_the_first_observation_is_repeated():
    history = observed({5.0: 1.0}, steps=3)
    assert entries(history.last_calls(), STATE) == entries(history.by_time(), STATE) == [1.0, 1.0, 1.0]


def test_calls_of_every_period_are_the_history():
    history = observed({5.0: 1.0, 5.1: 2.0, 5.2: 4.0})
    assert entries(history.last_calls(), STATE) == [2.0, 4.0]
    assert entries(history.by_time(), STATE) == pytest.approx([2.0, 4.0])


def test_states_between_two_distant_calls_are_interpolated():
    history = observed({5.0: 1.0, 5.5: 6.0})
    assert entries(history.by_time(), STATE) == pytest.approx([5.0, 6.0])
    assert entries(history.by_time(), IMAGE) == [1.0, 6.0], "an image is the newest of its time"


def test_an_image_may_be_a_little_newer_than_its_time():
    assert entries(observed({5.0: 1.0, 5.12: 2.0, 5.2: 3.0}).by_time(), IMAGE) == [2.0, 3.0]


def test_several_calls_within_one_period_are_no_longer_history():
    history = observed({5.0: 1.0, 5.03: 2.0, 5.06: 3.0, 5.1: 4.0})
    assert entries(history.by_time(), STATE) == pytest.approx([1.0, 4.0])


def test_without_a_known_rate_the_calls_count():
    assert entries(observed({5.0: 1.0, 9.0: 2.0}, period=None).by_time(), STATE) == [1.0, 2.0]


def test_nothing_is_left_after_a_clear():
    history = observed({5.0: 1.0, 5.1: 2.0})
    history.clear()
    history.add({STATE: torch.tensor([[7.0]]), IMAGE: torch.tensor([[7.0]])}, 5.2)
    assert entries(history.by_time(), STATE) == [7.0, 7.0]


def test_a_clock_that_is_set_back_begins_anew():
    history = observed({5.0: 1.0, 5.1: 2.0})
    history.add({STATE: torch.tensor([[7.0]]), IMAGE: torch.tensor([[7.0]])}, 1.0)
    assert entries(history.by_time(), STATE) == [7.0, 7.0]


def test_after_a_pause_what_was_seen_before_it_is_no_history():
    """The arms held or a person moved them: the old image is none of a moment ago."""
    history = observed({5.0: 1.0, 5.1: 2.0, 35.0: 7.0})
    assert entries(history.by_time(), IMAGE) == entries(history.by_time(), STATE) == [7.0, 7.0]
    assert entries(history.last_calls(), STATE) == [2.0, 7.0], "where calls count, time does not"


def test_a_fast_loop_does_not_push_the_history_out():
    times = {5.0 + 0.01 * index: float(index) for index in range(200)}
    history = observed(times, steps=4)
    assert entries(history.by_time(), STATE) == pytest.approx([169.0, 179.0, 189.0, 199.0])
    assert len(history._kept) < 50


def test_of_two_observations_of_one_time_the_later_one_counts():
    history = observed({5.0: 1.0, 5.1: 2.0})
    history.add({STATE: torch.tensor([[3.0]]), IMAGE: torch.tensor([[3.0]])}, 5.1)
    assert entries(history.by_time(), STATE) == [1.0, 3.0] and len(history._kept) == 2
