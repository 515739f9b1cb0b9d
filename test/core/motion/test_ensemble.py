# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from motion_helpers import PERIOD_NS, T0_NS, ensemble_settings

from dit_policy_ros.core.motion import Chunk, EnsembleMode
from dit_policy_ros.core.motion._ensemble import Ensembler

SECOND_NS = 1_000_000_000


def random_chunks(seed: int, count: int, steps: int = 8, joints: int = 2) -> list[Chunk]:
    rng = np.random.default_rng(seed)
    offsets = rng.integers(0, 5 * PERIOD_NS, count)
    return [
        Chunk(T0_NS + int(offset), PERIOD_NS, rng.normal(size=(steps, joints)))
        for offset in np.unique(offsets)
    ]


def reference(chunks: list[Chunk], time_ns: int, joint: int, m: float) -> float:
    """ACT's weighting for one time and one joint, in plain Python."""
    predictions = []
    for chunk in sorted(chunks, key=lambda c: c.stamp_ns):
        step, remainder = divmod(time_ns - chunk.stamp_ns, chunk.period_ns)
        if step < 0 or step + (remainder > 0) >= len(chunk.actions):
            continue
        value = chunk.actions[step, joint]
        if remainder:
            value += remainder / chunk.period_ns * (chunk.actions[step + 1, joint] - value)
        predictions.append(value)
    weights = [math.exp(-m * rank) for rank in range(len(predictions))]
    return (
        sum(w * p for w, p in zip(weights, predictions, strict=True)) / sum(weights) if weights else math.nan
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 6), m=st.floats(0.0, 2.0))
def test_act_equals_the_slow_reference(seed, count, m):
    chunks = random_chunks(seed, count)
    ensembler = Ensembler(ensemble_settings(temporal_ensemble_coeff=m))
    for chunk in chunks:
        ensembler.add(chunk)
    times_ns = T0_NS + np.arange(-2, 16) * (PERIOD_NS * 3 // 4)
    blended = ensembler.blend(times_ns)
    expected = [[reference(chunks, int(t), joint, m) for joint in range(2)] for t in times_ns]
    np.testing.assert_allclose(blended, expected, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), mode=st.sampled_from(list(EnsembleMode)), data=st.data())
def test_the_order_of_arrival_does_not_matter_and_the_average_is_convex(seed, mode, data):
    chunks = random_chunks(seed, 5)
    shuffled = data.draw(st.permutations(chunks))
    times_ns = T0_NS + np.arange(12) * PERIOD_NS
    blends = []
    for order in (chunks, shuffled):
        ensembler = Ensembler(ensemble_settings(mode=mode, temporal_ensemble_coeff=0.1))
        for chunk in order:
            ensembler.add(chunk)
        blends.append(ensembler.blend(times_ns))
    np.testing.assert_allclose(blends[0], blends[1], atol=1e-12)
    predictions = np.stack([chunk.at(times_ns) for chunk in chunks])
    covered = ~np.isnan(predictions).all(axis=(0, 2))
    assert (np.isnan(blends[0]).all(axis=1) == ~covered).all()
    low, high = np.nanmin(predictions[:, covered], axis=0), np.nanmax(predictions[:, covered], axis=0)
    assert (blends[0][covered] >= low - 1e-12).all() and (blends[0][covered] <= high + 1e-12).all()


def tapered(chunk: Chunk, time_ns: int, taper: float) -> float:
    """The factor on a chunk's weight: 1 until `taper` [s] before its end, 0 one step after it, linear."""
    left = (chunk.end_ns + chunk.period_ns - time_ns) * 1e-9  # [s]
    return min(1.0, left / (taper + chunk.period_ns * 1e-9))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), count=st.integers(1, 6), taper=st.floats(0.01, 0.5), m=st.floats(0.0, 1.0)
)
@example(seed=3047, count=3, taper=0.03973210270667671, m=0.765625)
def test_tapered_weights_equal_the_slow_reference(seed, count, taper, m):
    chunks, taper_ns = random_chunks(seed, count), round(taper * 1e9)
    taper = taper_ns * 1e-9  # [s] the ensembler counts in nanoseconds
    ensembler = Ensembler(ensemble_settings(temporal_ensemble_coeff=m, taper_ns=taper_ns))
    for chunk in chunks:
        ensembler.add(chunk)
    times_ns = T0_NS + np.arange(14) * (PERIOD_NS * 3 // 4)
    blended = ensembler.blend(times_ns)
    for k, time_ns in enumerate(times_ns):
        reaching = [c for c in chunks if c.stamp_ns <= time_ns <= c.end_ns]
        weights = [math.exp(-m * rank) * tapered(c, int(time_ns), taper) for rank, c in enumerate(reaching)]
        values = [c.at(np.array([time_ns]))[0] for c in reaching]
        expected = np.average(values, axis=0, weights=weights) if reaching else np.full(2, np.nan)
        np.testing.assert_allclose(blended[k], expected, atol=1e-9)


def test_a_tapered_chunk_ends_without_a_jump():
    def largest_step(taper_ns: int) -> float:
        ensembler = Ensembler(ensemble_settings(temporal_ensemble_coeff=0.0, taper_ns=taper_ns))
        ensembler.add(constant(0.0, steps=10))
        ensembler.add(constant(1.0, T0_NS + 1, steps=30))
        times_ns = T0_NS + np.arange(2, 20) * PERIOD_NS
        return float(np.abs(np.diff(ensembler.blend(times_ns), axis=0)).max())

    assert largest_step(0) == pytest.approx(0.5)
    assert largest_step(6 * PERIOD_NS) < 0.15


@settings(max_examples=30, deadline=None)
@given(taper=st.floats(0.0, 2.0), shifts=st.integers(1, 6))
def test_identical_chunks_are_reproduced_whatever_the_taper(taper, shifts):
    actions = np.random.default_rng(0).normal(size=(10, 2))
    ensembler = Ensembler(ensemble_settings(temporal_ensemble_coeff=0.3, taper_ns=round(taper * 1e9)))
    for shift in range(shifts):
        ensembler.add(Chunk(T0_NS + shift * PERIOD_NS, PERIOD_NS, actions[shift:]))
    np.testing.assert_allclose(ensembler.blend(T0_NS + np.arange(10) * PERIOD_NS), actions, atol=1e-12)


def test_identical_chunks_are_reproduced_exactly():
    actions = np.random.default_rng(0).normal(size=(10, 2))
    ensembler = Ensembler(ensemble_settings(temporal_ensemble_coeff=0.3))
    for shift in range(4):
        ensembler.add(Chunk(T0_NS + shift * PERIOD_NS, PERIOD_NS, actions[shift:]))
    np.testing.assert_allclose(ensembler.blend(T0_NS + np.arange(10) * PERIOD_NS), actions, atol=1e-14)


def constant(value: float, stamp_ns: int = T0_NS, steps: int = 10) -> Chunk:
    return Chunk(stamp_ns, PERIOD_NS, np.full((steps, 2), value))


@pytest.mark.parametrize(("mode", "expected"), [(EnsembleMode.NEWEST, 3.0), (EnsembleMode.NONE, 1.0)])
def test_modes_without_averaging_take_one_prediction(mode, expected):
    ensembler = Ensembler(ensemble_settings(mode=mode))
    for age, value in ((0, 1.0), (1, 2.0), (2, 3.0)):
        ensembler.add(constant(value, T0_NS + age * PERIOD_NS))
    assert (ensembler.blend(np.array([T0_NS + 3 * PERIOD_NS])) == expected).all()


def test_a_joint_that_is_never_averaged_uses_the_newest_prediction():
    ensembler = Ensembler(
        ensemble_settings(temporal_ensemble_coeff=0.0, never_averaged=np.array([False, True]))
    )
    ensembler.add(constant(0.0))
    ensembler.add(constant(1.0, T0_NS + PERIOD_NS))
    np.testing.assert_allclose(ensembler.blend(np.array([T0_NS + 2 * PERIOD_NS])), [[0.5, 1.0]])


def test_disagreement_drops_older_chunks_for_good_from_the_first_knot_that_disagrees():
    settings_ = ensemble_settings(temporal_ensemble_coeff=0.0, max_disagreement=np.array([0.5, 0.5]))
    ensembler = Ensembler(settings_)
    ensembler.add(constant(0.0))
    diverging = np.zeros((10, 2))
    diverging[4:, 0] = 2.0  # one joint disagrees from its step 4 on
    diverging[:, 1] = 0.2
    ensembler.add(Chunk(T0_NS, PERIOD_NS + 0, diverging))
    times_ns = T0_NS + np.arange(10) * PERIOD_NS
    blended = ensembler.blend(times_ns)
    np.testing.assert_allclose(blended[:4], np.tile([0.0, 0.1], (4, 1)))
    np.testing.assert_allclose(blended[4:], np.tile([2.0, 0.2], (6, 1)))  # the coupled joint follows
    assert ensembler.disagreements == 1
    np.testing.assert_allclose(ensembler.blend(times_ns), blended)
    assert ensembler.disagreements == 1, "chunks that were dropped must not be counted again"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 5), threshold=st.floats(0.1, 4.0))
def test_the_gate_equals_the_slow_reference(seed, count, threshold):
    """As in the node, chunks arrive one by one, and each drops the older ones that it disagrees with."""
    groups = np.array([0, 0, 1])
    chunks = sorted(random_chunks(seed, count, joints=3), key=lambda chunk: chunk.stamp_ns)
    ensembler = Ensembler(
        ensemble_settings(
            3, temporal_ensemble_coeff=0.2, max_disagreement=np.full(3, threshold), coupling=groups
        )
    )
    times_ns = T0_NS + np.arange(12) * PERIOD_NS
    valid_until = [[math.inf] * 3 for _ in chunks]  # per chunk and joint
    disagreements = 0
    for newest, chunk in enumerate(chunks):
        ensembler.add(chunk)
        blended = ensembler.blend(times_ns)

        def predictions(time_ns, joint, upto=newest):
            return [
                (c, float(chunks[c].at(np.array([time_ns]))[0, joint]))
                for c in range(upto + 1)
                if chunks[c].stamp_ns <= time_ns <= chunks[c].end_ns and time_ns < valid_until[c][joint]
            ]

        def spread(time_ns, joint):
            values = [value for _, value in predictions(time_ns, joint)]
            return max(values) - min(values) if values else 0.0

        for group in (0, 1):
            members = [joint for joint in range(3) if groups[joint] == group]
            offending = [t for t in times_ns if newest and any(spread(t, j) > threshold for j in members)]
            if offending:
                disagreements += 1
                for older in range(newest):
                    for joint in members:
                        valid_until[older][joint] = min(valid_until[older][joint], offending[0])
        for k, time_ns in enumerate(times_ns):
            for joint in range(3):
                left = predictions(time_ns, joint)
                weights = [math.exp(-0.2 * rank) for rank in range(len(left))]
                expected = np.average([v for _, v in left], weights=weights) if left else math.nan
                np.testing.assert_allclose(blended[k, joint], expected, atol=1e-9)
    assert ensembler.disagreements == disagreements


def test_uncoupled_joints_keep_their_average():
    ensembler = Ensembler(
        ensemble_settings(
            temporal_ensemble_coeff=0.0, max_disagreement=np.array([0.5, 0.5]), coupling=np.array([0, 1])
        )
    )
    ensembler.add(constant(0.0))
    other = np.full((10, 2), 0.2)
    other[:, 0] = 2.0
    ensembler.add(Chunk(T0_NS + 1, PERIOD_NS, other))
    np.testing.assert_allclose(ensembler.blend(np.array([T0_NS + PERIOD_NS])), [[2.0, 0.1]])


def test_a_chunk_is_never_extrapolated():
    chunk = constant(1.0, steps=3)
    inside = chunk.at(np.array([chunk.stamp_ns, chunk.end_ns]))
    outside = chunk.at(np.array([chunk.stamp_ns - 1, chunk.end_ns + 1]))
    assert (inside == 1.0).all() and np.isnan(outside).all()


def test_chunks_that_have_ended_are_dropped():
    ensembler = Ensembler(ensemble_settings())
    ensembler.add(constant(1.0, steps=2))
    ensembler.add(constant(2.0, steps=20))
    ensembler.drop_ended(T0_NS + 5 * PERIOD_NS)
    assert len(ensembler) == 1


def test_a_chunk_of_one_row_is_known_at_its_stamp_only():
    values = Chunk(T0_NS, PERIOD_NS, np.full((1, 2), 0.3)).at(T0_NS + PERIOD_NS * np.arange(-1, 3))
    np.testing.assert_array_equal(values[:, 0], [np.nan, 0.3, np.nan, np.nan])


def test_without_a_chunk_nothing_is_known():
    ensembler = Ensembler(ensemble_settings())
    assert np.isnan(ensembler.blend(T0_NS + PERIOD_NS * np.arange(3))).all()
    ensembler.add(Chunk(T0_NS, PERIOD_NS, np.zeros((4, 2))))
    assert ensembler.blend(np.array([], np.int64)).shape == (0, 2)


def test_a_chunk_with_the_wrong_number_of_joints_raises_value_error():
    with pytest.raises(ValueError, match=r"\(T, 2\)"):
        Ensembler(ensemble_settings()).add(Chunk(T0_NS, PERIOD_NS, np.zeros((4, 3))))
