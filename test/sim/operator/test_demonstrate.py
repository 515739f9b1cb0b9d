# SPDX-License-Identifier: Apache-2.0
"""The scripted operator and the episodes made from it."""

import itertools

import numpy as np
import pytest

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.operator._demonstrate import Settings, demonstrate
from dit_policy_ros.sim.operator._expert import Expert
from dit_policy_ros.sim.robot import JOINTS, BimanualSim
from dit_policy_ros.sim.tasks import demo_tasks

BLIND = Settings(cameras=(), interrupt=0.0)
# The limits of config/bimanual.yaml.
VELOCITY = np.array([2.5, 2.5, 2.5, 3.0, 3.0, 3.0, 0.2] * 2)  # [rad/s], [m/s]
ACCELERATION = np.array([8.0, 8.0, 8.0, 10.0, 10.0, 10.0, 2.0] * 2)  # [rad/s^2], [m/s^2]


@pytest.fixture(scope="module")
def episodes():
    return list(demonstrate(40, seed=11, settings=BLIND))


def test_the_operator_succeeds(episodes):
    assert sum(episode.success for episode in episodes) >= 0.95 * len(episodes)
    assert {episode.task for episode in episodes} == set(demo_tasks())


def test_actions_keep_within_limits(episodes):
    sequences: dict[int, list[np.ndarray]] = {}
    for episode in episodes:
        sequences.setdefault(episode.sequence, []).extend(frame.action for frame in episode.frames)
    for actions in sequences.values():
        velocity = np.diff(np.array(actions), axis=0) * 30.0  # (N - 1, 14)
        assert (np.abs(velocity) <= VELOCITY).all()
        assert (np.abs(np.diff(velocity, axis=0)) * 30.0 <= ACCELERATION).all()


def test_episodes_of_a_sequence_go_on_where_the_last_one_ended(episodes):
    pairs = [(a, b) for a, b in itertools.pairwise(episodes) if a.sequence == b.sequence]
    assert pairs
    for before, after in pairs:
        assert after.task != before.task
        gap = np.abs(after.frames[0].state - before.frames[-1].state).max()
        assert gap < 0.1  # one frame's motion [rad]


def test_the_robot_follows_the_recorded_actions(episodes):
    errors = np.array([frame.state - frame.action for e in episodes for frame in e.frames])
    assert np.abs(errors).max() < 0.15  # [rad], servo lag plus disturbance
    assert np.abs(errors).mean() < 0.02


def test_the_other_arm_ends_at_home(episodes):
    for episode in episodes:
        last, other = episode.frames[-1].action, "right" if episode.task.side == "left" else "left"
        first = JOINTS.index(f"{other}_joint_1")
        home = np.array([0.0, -1.8650, 2.1590, 0.0, 1.2768, 0.0])
        assert np.abs(last[first : first + 6] - home).max() < 0.1


def test_the_same_seed_gives_the_same_episodes():
    first, second = (list(demonstrate(3, seed=4, settings=BLIND)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert (a.task, a.success, a.sequence) == (b.task, b.success, b.sequence)
        for frame, same in zip(a.frames, b.frames, strict=True):
            np.testing.assert_array_equal(frame.state, same.state)
            np.testing.assert_array_equal(frame.action, same.action)


def test_frames_have_images_of_the_cameras_asked_for():
    settings = Settings(cameras=("top", "left_wrist"), time_limit=0.2)
    (episode,) = demonstrate(1, seed=0, settings=settings)
    assert not episode.success
    assert len(episode.frames) == 6
    for frame in episode.frames:
        assert set(frame.images) == {"top", "left_wrist"}
        for image in frame.images.values():
            assert image.shape == (240, 320, 3)
            assert image.dtype == np.uint8
            assert image.std() > 10


def test_interrupted_episodes_are_told_apart():
    settings = Settings(cameras=(), interrupt=1.0)
    made = list(demonstrate(10, seed=1, settings=settings))
    assert any(episode.interrupted for episode in made)
    assert all(not (episode.interrupted and episode.success) for episode in made)


def test_a_moved_cube_is_followed():
    sim = BimanualSim(seed=2)
    sim.reset(cubes=np.array([[0.05, 0.05, 0.0], [-0.1, -0.1, 0.0], [0.1, -0.1, 0.0]]))
    expert = Expert(np.random.default_rng(0))
    expert.reset(sim)
    expert.begin(demo_tasks()[0])
    for frame in range(150):
        if frame == 30:
            sim.place_cubes(np.array([[-0.05, 0.08, 0.3], [-0.1, -0.1, 0.0], [0.1, -0.1, 0.0]]))
        sim.step_towards(expert.act(sim), 17)
    assert np.linalg.norm(sim.tcp("left")[:2] - [-0.05, 0.08]) < 0.01


def test_an_operator_without_a_task_says_so():
    sim = BimanualSim()
    expert = Expert(np.random.default_rng(0))
    expert.reset(sim)
    with pytest.raises(SimulationError, match="begin"):
        expert.act(sim)
