# SPDX-License-Identifier: Apache-2.0
import inspect
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_helpers import DT, PERIOD_NS, T0_NS, make_pipeline, motion_limits

from dit_policy_ros.core.errors import IncidentError, PlanRejected
from dit_policy_ros.core.incidents import IncidentRing, Inference, RecordedPipeline, replay_calls, unpickle
from dit_policy_ros.core.motion import Chunk, Pipeline

# Public methods of Pipeline that do not change its state.
READERS = {
    "describe_tracking_error",
    "at_rest",
    "most_limited",
    "accepts_observation",
    "awaits_chunk",
    "is_too_late",
    "reset_counters",
    "starved",
    "continuation",
    "coupled_groups",
    "first_free_ns",
    "reset_disagreements",
}


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def recorded(seconds: float) -> tuple[RecordedPipeline, IncidentRing, Clock]:
    clock = Clock()
    ring = IncidentRing(seconds, clock)
    pipeline = RecordedPipeline(
        ("joint_1", "joint_2"), motion_limits(), PERIOD_NS, make_pipeline(task_fade=0.4).settings, ring
    )
    return pipeline, ring, clock


def chunk(stamp_ns: int, seed: int) -> Chunk:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 0.02, (31, 2)).cumsum(axis=0)  # (T, A)
    return Chunk(stamp_ns, PERIOD_NS, steps + rng.normal(0.0, 0.1, 2))


def inference(number: int, images: dict, image_stamps_ns: dict) -> Inference:
    return Inference(0, number, "task", number, images, image_stamps_ns, np.zeros((2, 2), np.float32))


def run_events(pipeline: RecordedPipeline, clock: Clock, events: list[str]) -> None:
    """One event every 0.1 s: chunks with latency, holds, resumes, changes of the task, invalid chunks."""
    pipeline.start(np.array([0.1, -0.2]), T0_NS)
    for i, event in enumerate(events):
        clock.ns += 100_000_000
        now_ns = T0_NS + clock.ns
        if event == "hold":
            pipeline.hold("a reason", now_ns, np.array([0.3, -0.3]) if i % 2 else None)
        elif event == "resume":
            pipeline.resume(now_ns, np.array([0.2, 0.1]), uncommanded=np.array([i % 3 == 0, False]))
        elif event == "change_task":
            pipeline.change_task()
        elif event == "nan":
            with pytest.raises(PlanRejected) if pipeline.state != "hold" else np.errstate():
                pipeline.add_chunk(Chunk(now_ns, PERIOD_NS, np.full((31, 2), np.nan)), now_ns)
        else:
            pipeline.add_chunk(chunk(now_ns - round(1.5 * DT * 1e9), i), now_ns)


EVENTS = st.lists(
    st.sampled_from(["chunk", "chunk", "chunk", "chunk", "change_task", "hold", "resume", "nan"]),
    min_size=1,
    max_size=60,
)


@settings(max_examples=25, deadline=None)
@given(events=EVENTS, seconds=st.floats(0.5, 8.0))
def test_a_replay_from_any_window_is_identical_bit_for_bit(events, seconds):
    pipeline, ring, clock = recorded(seconds)
    run_events(pipeline, clock, events)
    incident = unpickle(pickle.dumps(ring.snapshot()))  # as if read from a file
    replayed = list(replay_calls(incident.segments))
    assert replayed and all(each.identical for each in replayed)
    assert [each.call.method for each in replayed][-1] == (
        {"chunk": "add_chunk", "nan": "add_chunk"}.get(events[-1], events[-1])
    )


def test_recording_does_not_change_the_plans():
    pipeline, _, clock = recorded(5.0)
    plain = make_pipeline()
    plain.start(np.array([0.1, -0.2]), T0_NS)
    run_events(pipeline, clock, ["chunk"] * 5)
    for i in range(5):
        now_ns = T0_NS + (i + 1) * 100_000_000
        plain.add_chunk(chunk(now_ns - round(1.5 * DT * 1e9), i), now_ns)
    np.testing.assert_array_equal(pipeline.plan.positions, plain.plan.positions)


def test_a_replay_with_a_changed_chunk_differs():
    pipeline, ring, clock = recorded(5.0)
    run_events(pipeline, clock, ["chunk"] * 10)
    calls = ring.snapshot().segments[0].calls
    assert calls[3].method == "add_chunk"
    calls[3].arguments[0].actions[20, 0] += 1e-6
    assert not all(each.identical for each in replay_calls(ring.snapshot().segments))


def test_the_ring_drops_what_is_too_old():
    pipeline, ring, clock = recorded(3.0)
    run_events(pipeline, clock, ["chunk"] * 100)
    count = sum(len(segment.calls) for segment in ring.snapshot().segments)
    assert 30 <= count <= 41, "three seconds, and up to one more back to a key frame"


def test_every_method_that_changes_the_pipeline_is_recorded():
    public = {name for name, _ in inspect.getmembers(Pipeline, inspect.isfunction) if name[0] != "_"}
    assert public - READERS == set(vars(RecordedPipeline)) & public


def test_shared_frames_are_stored_once_and_freed_with_their_inferences():
    clock = Clock()
    ring = IncidentRing(1.0, clock)
    kept = []
    for i in range(40):
        clock.ns = i * 100_000_000
        images = {"top": np.full((2, 4, 4, 3), i, np.uint8)}
        kept.append(ring.add_inference(inference(i, images, {"top": (i, i + 1)})))
        images["top"][:] = 255  # the caller may reuse its buffer
    assert kept[30].images["top"][1] is kept[31].images["top"][0]
    assert kept[30].images["top"][1][0, 0, 0] == 30
    assert [inference.stamp_ns for inference in ring.snapshot().inferences] == list(range(29, 40))
    del kept
    assert len(ring._frames) == 12


def test_a_ring_of_zero_seconds_keeps_nothing():
    pipeline, ring, clock = recorded(0.0)
    run_events(pipeline, clock, ["chunk"] * 3)
    ring.add_inference(inference(0, {"top": np.zeros((1, 2, 2, 3), np.uint8)}, {"top": (0,)}))
    assert ring.snapshot().segments == () and ring.snapshot().inferences == ()


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(print),
        b"cos\nsystem\n(S'true'\ntR.",
        b"cdit_policy_ros.core.incidents._recorded_pipeline\npickle.loads\n.",
        b"cdit_policy_ros.core.incidents._recorded_pipeline\nio\n.",
        pickle.dumps(np.zeros(3))[:-9],
        b"",
    ],
)
def test_a_pickle_with_foreign_content_is_refused(data):
    with pytest.raises(IncidentError):
        unpickle(data)
