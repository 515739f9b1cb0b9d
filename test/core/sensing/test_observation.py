# SPDX-License-Identifier: Apache-2.0
"""Observations depend on stamps only: exact for linear motion, and the same in any order of arrival."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import StaleObservation
from dit_policy_ros.core.sensing import ObservationBuilder

CONFIG = Path(__file__).parents[3] / "config" / "bimanual.yaml"
CONTRACT = parse_contract(yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"], "")
MS = 1_000_000
SECOND = 1000 * MS
START = 1_700_000_000 * SECOND
SLOPE = np.linspace(-1.0, 1.0, 14)  # (14,) [rad/s]


def line(stamp_ns: int) -> np.ndarray:
    return SLOPE * ((stamp_ns - START) / SECOND)


def fill(builder: ObservationBuilder, duration: float = 0.6, jitter_ms: int = 0) -> int:
    """Cameras at 30 Hz (each jittered by up to `jitter_ms`), joints at 100 Hz on a line; returns the end."""
    rng = np.random.default_rng(0)
    end = START + round(duration * SECOND)
    for stamp in range(START, end, 10 * MS):
        builder.joints.push(stamp, line(stamp))
    for stream in builder.images.values():
        for index in range(int(duration * 30)):
            stamp = START + round(index * SECOND / 30) + int(rng.integers(0, jitter_ms * MS + 1))
            stream.push(stamp, f"{stream.name} {index}")
    return end


@settings(deadline=None)
@given(st.integers(0, 585 * MS))
def test_interpolation_is_exact_for_linear_motion(offset: int) -> None:
    builder = ObservationBuilder(CONTRACT)
    fill(builder)
    frame = builder.sample_at(START + offset)
    np.testing.assert_allclose(frame.state, line(START + offset), atol=1e-12)
    assert 0.0 <= frame.joints_distance <= 0.005


@settings(deadline=None)
@given(st.integers(0, 2 * SECOND))
def test_nothing_is_extrapolated(offset: int) -> None:
    builder = ObservationBuilder(CONTRACT)
    builder.joints.push(START + SECOND, line(START + SECOND))
    builder.joints.push(START + SECOND + 10 * MS, line(START + SECOND + 10 * MS))
    for stream in builder.images.values():
        stream.push(START + SECOND, "only")
    state = builder.sample_at(START + offset).state
    inside = np.clip(offset, SECOND, SECOND + 10 * MS)
    np.testing.assert_allclose(state, line(START + int(inside)), atol=1e-12)


@settings(deadline=None)
@given(st.integers(0, 590 * MS))
def test_images_are_the_latest_at_or_before_within_the_tolerance(offset: int) -> None:
    builder = ObservationBuilder(CONTRACT)
    fill(builder)
    tolerance = round(0.25 * CONTRACT.dt_ns)
    for name, sample in builder.sample_at(START + offset).images.items():
        stamps = [START + round(index * SECOND / 30) for index in range(18)]
        expected = max(stamp for stamp in stamps if stamp <= START + offset + tolerance)
        assert sample.stamp_ns == expected
        assert sample.value == f"{name} {stamps.index(expected)}"


@pytest.mark.parametrize("n_obs_steps", [1, 2, 3])
def test_history_has_the_training_interval_despite_jitter(n_obs_steps: int) -> None:
    """With stamps up to 6 ms late, each entry is the image of its own period, never one further."""
    builder = ObservationBuilder(CONTRACT, n_obs_steps)
    end = fill(builder, jitter_ms=6)
    observation = builder.build(end)
    assert observation.state.shape == (n_obs_steps, 14)
    times = [observation.stamp_ns - round(k * SECOND / 30) for k in reversed(range(n_obs_steps))]
    np.testing.assert_allclose(observation.state, [line(time) for time in times], atol=1e-12)
    for name, images in observation.images.items():
        assert images == tuple(f"{name} {index}" for index in range(18 - n_obs_steps, 18))


def test_the_stamp_is_the_oldest_of_the_newest_stamps() -> None:
    builder = ObservationBuilder(CONTRACT, 2)
    fill(builder)
    oldest = builder.images["left_wrist"].newest_stamp_ns
    builder.images["top"].push(oldest + 33 * MS, "newer")
    builder.joints.push(oldest + 40 * MS, line(oldest + 40 * MS))
    observation = builder.build(oldest + 50 * MS)
    assert observation.stamp_ns == oldest
    assert observation.images["top"][-1] != "newer"
    np.testing.assert_allclose(observation.state[-1], line(oldest), atol=1e-12)


def test_the_first_sample_is_repeated_until_there_is_history() -> None:
    builder = ObservationBuilder(CONTRACT, 3)
    for stream in builder.images.values():
        stream.push(START, "first")
    builder.joints.push(START, line(START))
    observation = builder.build(START)
    assert observation.images["top"] == ("first",) * 3
    np.testing.assert_array_equal(observation.state, np.stack([line(START)] * 3))


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_arrival_order_does_not_change_the_observation(random) -> None:
    ordered, shuffled = (ObservationBuilder(CONTRACT, 2) for _ in range(2))
    end = fill(ordered, duration=0.5, jitter_ms=5)
    pushes = []
    for source, target in zip(ordered.streams, shuffled.streams, strict=True):
        time = end
        while (sample := source.latest_at(time)) is not None:
            pushes.append((target, sample))
            time = sample.stamp_ns - 1
    random.shuffle(pushes)
    for target, sample in pushes:
        target.push(sample.stamp_ns, sample.value)
    expected, got = ordered.build(end), shuffled.build(end)
    assert (got.stamp_ns, got.images, got.image_stamps_ns) == (
        expected.stamp_ns,
        expected.images,
        expected.image_stamps_ns,
    )
    np.testing.assert_array_equal(got.state, expected.state)


def test_recorder_and_policy_see_the_same_sample() -> None:
    builder = ObservationBuilder(CONTRACT, 2)
    end = fill(builder, jitter_ms=8)
    observation = builder.build(end)
    frame = builder.sample_at(observation.stamp_ns)
    assert {name: sample.value for name, sample in frame.images.items()} == {
        name: images[-1] for name, images in observation.images.items()
    }
    np.testing.assert_array_equal(frame.state, observation.state[-1])


def test_a_silent_stream_is_named_with_its_topic() -> None:
    builder = ObservationBuilder(CONTRACT)
    for stream in (builder.images["top"], builder.images["left_wrist"], builder.joints):
        stream.push(START, np.zeros(14))
    with pytest.raises(
        StaleObservation, match=r"'right_wrist' \(right_wrist/image_raw\): nothing received yet"
    ):
        builder.build(START)


def test_a_stale_stream_is_named_with_age_limit_and_key() -> None:
    builder = ObservationBuilder(CONTRACT)
    fill(builder)
    newest = builder.images["top"].newest_stamp_ns
    for stream in builder.streams:
        if stream.name != "top":
            stream.push(newest + SECOND, np.zeros(14))
    with pytest.raises(StaleObservation) as caught:
        builder.build(newest + SECOND)
    message = str(caught.value)
    assert "'top' (top/image_raw): newest sample is 1.000 s old, cameras.top.max_age is 0.25 s" in message
    assert "left_wrist" not in message
    assert set(builder.stale(newest + SECOND)) == {"top"}


def test_several_stale_streams_are_all_named() -> None:
    with pytest.raises(StaleObservation) as caught:
        ObservationBuilder(CONTRACT).build(START)
    for name in ("top", "left_wrist", "right_wrist", "joint_states"):
        assert f"'{name}'" in str(caught.value)


def test_samples_stamped_in_the_future_are_explained() -> None:
    builder = ObservationBuilder(CONTRACT)
    builder.images["top"].push(START + SECOND, "early", now_ns=START)
    assert "1 samples from the future; synchronise the clocks" in builder.stale(START)["top"]


def test_a_clock_set_back_makes_all_streams_stale() -> None:
    builder = ObservationBuilder(CONTRACT)
    end = fill(builder)
    builder.build(end)
    reasons = builder.stale(end - 5 * SECOND)
    assert set(reasons) == {"top", "left_wrist", "right_wrist", "joint_states"}
    assert "since the clock was set back" in reasons["top"]


def test_only_the_needed_cameras_are_required() -> None:
    builder = ObservationBuilder(CONTRACT, cameras=["top"])
    end = fill(builder)
    assert set(builder.build(end).images) == {"top"}


def test_a_sample_is_final_when_all_streams_have_newer_ones_or_timed_out() -> None:
    builder = ObservationBuilder(CONTRACT)
    end = fill(builder)
    assert builder.is_settled(end - 100 * MS, end)
    assert not builder.is_settled(end, end)
    assert not builder.is_settled(end, end + 990 * MS)
    assert builder.is_settled(end, end + 1001 * MS)


def test_memory_is_bounded_by_time() -> None:
    builder = ObservationBuilder(CONTRACT, 2)
    fill(builder, duration=20.0)
    assert len(builder.images["top"]) <= 30
    assert len(builder.joints) <= 100


def test_a_camera_that_sends_too_fast_takes_no_more_memory_than_four_times_its_rate() -> None:
    stream = ObservationBuilder(CONTRACT).images["top"]
    for stamp in range(START, START + 2 * SECOND, MS):
        stream.push(stamp, "image")
    keep = stream.settings.keep
    assert keep is not None and len(stream) == int(np.ceil(4 * CONTRACT.fps * keep))


def test_a_sample_needs_joint_states() -> None:
    builder = ObservationBuilder(CONTRACT)
    end = fill(builder)
    builder.joints.clear()
    with pytest.raises(StaleObservation, match=r"joint_states.*nothing received"):
        builder.sample_at(end)


def test_zero_observation_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ObservationBuilder(CONTRACT, 0)


@pytest.mark.parametrize("latency", [0.1, -0.02])
def test_a_cameras_latency_shifts_its_images_to_the_exposure(latency: float) -> None:
    cameras = (replace(CONTRACT.cameras[0], latency=latency), *CONTRACT.cameras[1:])
    plain, shifted = ObservationBuilder(CONTRACT), ObservationBuilder(replace(CONTRACT, cameras=cameras))
    for builder in (plain, shifted):
        end = fill(builder, duration=1.0)
    time = START + 500 * MS
    slots = {
        name: [builder.sample_at(time).images[name].stamp_ns for builder in (plain, shifted)]
        for name in CONTRACT.camera_names
    }
    late, untouched = slots.pop(cameras[0].name), slots
    assert all(before == after for before, after in untouched.values())
    exposed = [START + round(index * SECOND / 30) - round(latency * SECOND) for index in range(30)]
    tolerance = round(0.25 * CONTRACT.dt_ns)
    assert late[1] == max(stamp for stamp in exposed if stamp <= time + tolerance)
    if latency > 0:
        assert shifted.observation_stamp(end) < plain.observation_stamp(end), (
            "joint states are not extrapolated"
        )


def test_a_senders_clock_slightly_ahead_does_not_put_the_observation_in_the_future() -> None:
    builder = ObservationBuilder(CONTRACT)
    end = fill(builder)
    now = end - 60 * MS
    assert builder.observation_stamp(now) == now
    assert builder.build(now).stamp_ns == now
