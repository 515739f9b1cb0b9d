# SPDX-License-Identifier: Apache-2.0
"""A recorded episode as a policy: slowly to its first pose, then its actions, within limits."""

import json
from dataclasses import replace

import numpy as np
import pytest
from motion_helpers import DT, PERIOD_NS, T0_NS, assert_executable, make_pipeline

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.motion import Chunk, Pacing
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.episode import EpisodePolicy, RecordedEpisode, write_episode_policy

TIMES = DT * np.arange(90)
ACTIONS = np.stack([0.4 * np.sin(2.0 * TIMES), 0.3 * np.cos(1.5 * TIMES)], axis=1).astype(np.float32)
EPISODE = RecordedEpisode(ACTIONS, ("a", "b"), 30.0, "wave", np.full(2, 0.5, np.float32), approach_rows=300)


def predict(policy, *state):
    return policy.predict({}, np.array([state], np.float32), "wave")


def test_a_chunk_leads_slowly_to_the_first_pose_and_through_all_actions():
    policy = EpisodePolicy(EPISODE)
    rows = predict(policy, 0.5, -0.5)
    assert rows.shape == (policy.horizon, 2) and np.allclose(rows[0], (0.5, -0.5))
    first = next(i for i in range(len(rows)) if np.array_equal(rows[i : i + 90], ACTIONS))
    assert (np.abs(np.diff(rows[: first + 1], axis=0)) <= 0.5 * DT * 1.001).all()
    assert np.array_equal(rows[first + 90 :], np.tile(ACTIONS[-1], (len(rows) - first - 90, 1)))


def test_after_an_interruption_it_goes_on_from_the_nearest_pose_of_the_rest():
    policy = EpisodePolicy(EPISODE)
    predict(policy, *ACTIONS[0])
    rows = predict(policy, *(ACTIONS[40] + 0.001))
    assert np.abs(rows[1:20] - ACTIONS[40:59]).max() < 0.02
    predict(policy, *ACTIONS[-1])
    assert np.array_equal(np.unique(predict(policy, *ACTIONS[-1])[1:], axis=0), ACTIONS[-1:])  # it is over


def test_a_pose_that_the_way_cannot_reach_is_refused():
    policy = EpisodePolicy(replace(EPISODE, approach_rows=20))
    with pytest.raises(CheckpointError, match="too far from the episode"):
        predict(policy, 1.0, 1.0)


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_the_motion_path_plays_it_within_limits(scale):
    policy, now_ns = EpisodePolicy(EPISODE), T0_NS
    pipeline = make_pipeline(pacing=Pacing.STOP_AND_GO)
    pipeline.set_velocity_scale(scale)
    pipeline.start(np.array([0.2, 0.1]), now_ns)
    rows = predict(policy, 0.2, 0.1).astype(float)
    plan = pipeline.add_chunk(Chunk(now_ns, PERIOD_NS, rows), now_ns)
    commanded = []
    while plan is not None or now_ns < pipeline.plan.end_ns:
        if plan is not None:
            assert_executable(plan, pipeline.limits)
        commanded.append(pipeline.plan.sample_at(now_ns)[0])
        now_ns += 20_000_000
        plan = pipeline.extend(now_ns)
    played = np.array(commanded)
    # Every pose of the episode is passed, in order, whatever the speed.
    begin, last = 0, np.flatnonzero((np.abs(rows - rows[-1]) > 1e-6).any(axis=1))[-1]
    for wanted in rows[60 : last + 1 : 5]:
        away = np.abs(played[begin:] - wanted).max(axis=1)
        begin += int(away.argmin())
        assert away.min() < 0.02
    assert np.abs(played[-1] - ACTIONS[-1]).max() < 1e-3


def test_it_is_written_and_loaded_as_any_policy(tmp_path):
    write_episode_policy(tmp_path / "episode", EPISODE)
    policy = load_policy(tmp_path / "episode")
    assert policy.joint_names == ("a", "b") and policy.fps == 30.0 and policy.known_tasks == ("wave",)
    assert np.array_equal(predict(policy, 0.1, 0.1), predict(EpisodePolicy(EPISODE), 0.1, 0.1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"joints": ["a"]}, "1 joints"),
        ({"fps": "fast"}, "cannot be read"),
        ({"approach_rows": None}, "cannot"),
    ],
)
def test_a_damaged_episode_is_refused(tmp_path, change, words):
    write_episode_policy(tmp_path, EPISODE)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(CheckpointError, match=words):
        load_policy(tmp_path)
