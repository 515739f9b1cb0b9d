# SPDX-License-Identifier: Apache-2.0
"""Stills of the scene with labels. They teach where the cubes are and which cube an instruction names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from dit_policy_ros.sim.operator import Disturbance, Operator, StartPoses, grasp_pose
from dit_policy_ros.sim.robot import (
    ARM_JOINTS,
    CAMERAS,
    CUBES,
    HOME,
    SIDES,
    ArmKinematics,
    BimanualSim,
    arm_slice,
)
from dit_policy_ros.sim.stills._cube_views import TURNS, VIEW, cube_views
from dit_policy_ros.sim.stills._scenes import Scene, sample_scenes
from dit_policy_ros.sim.tasks import Task, first_arm, run_trial, suite

_EVERY = 6  # periods of 1/30 s between two stills of one task
_DISTURBANCE = 0.008  # [rad] standard deviation of the arms' random error
_KNOCKS = 0.7  # [1/s]
_ITERATIONS = 30  # of inverse kinematics, from home
_TOP = 4 * len(CUBES)  # entries of ``pose_targets``
TURN_WEIGHT = 0.3  # weight of the cubes' angles; positions have 1
# Weights of the entries of ``picture_targets`` in a loss.
PICTURE_WEIGHTS = (
    [1.0] * 6 + [TURN_WEIGHT] * 6 + [0.1] * len(CUBES) + ([1.0] * 3 + [TURN_WEIGHT] * 2) * len(CUBES)
)
NAMED_WEIGHTS = [1.0] * 2 + [TURN_WEIGHT] * 2 + [1.0] * 9  # weights of the entries of ``named_targets``


@dataclass(frozen=True, slots=True)
class Still:
    """A scene with a task.

    way: joint offsets (6,) [rad] of the task's first arm from the present pose to the grasp. views: (2, 3, 5)
    labels of each wrist camera's picture, of ``cube_views``.
    """

    scene: Scene
    task: Task
    way: np.ndarray
    views: np.ndarray


@dataclass(frozen=True, slots=True)
class Stills:
    """Many stills.

    images: uint8 (M, N, h, w, 3) of ``CAMERAS``. cubes: (M, 3, 3) x, y [m] and yaw [rad] by
    colour. state: (M, 14) [rad], [m]. tcps: (M, 2, 3) [m] between the finger tips of each arm.
    task: (M,) into ``suite()``. way: (M, 6) [rad].
    views: (M, 2, 3, 5) of the wrist cameras.
    """

    images: np.ndarray
    cubes: np.ndarray
    state: np.ndarray
    tcps: np.ndarray
    task: np.ndarray
    way: np.ndarray
    views: np.ndarray


def random_stills(sim: BimanualSim, number: int, seed: int) -> Iterator[Still]:
    """Yields ``number`` stills: half of random scenes, half from the middle of scripted tasks."""
    random = number // 2
    offsets, rng, tasks = _GraspOffsets(), np.random.default_rng(seed), suite()
    for scene in sample_scenes(sim, random, seed, CAMERAS):
        yield _labelled(sim, scene, tasks[int(rng.integers(len(tasks)))], offsets)
    yield from islice(_of_tasks(sim, seed, offsets), number - random)


def _labelled(sim: BimanualSim, scene: Scene, task: Task, offsets: "_GraspOffsets") -> Still:
    views = np.stack([cube_views(sim, camera) for camera in CAMERAS[1:]])  # (2, 3, 5)
    return Still(scene, task, offsets.find(sim, task), views)


def _of_tasks(sim: BimanualSim, seed: int, offsets: "_GraspOffsets") -> Iterator[Still]:
    rng = np.random.default_rng(seed)
    operator, starts, tasks = Operator(rng), StartPoses(rng), suite()
    while True:
        sim.reset(seed=int(rng.integers(2**31)), arm_jitter=0.05)
        task = tasks[int(rng.integers(len(tasks)))]
        if rng.random() < 0.5:
            starts.anywhere(sim, first_arm(task))
        operator.begin(sim, task)
        error = Disturbance(rng, _DISTURBANCE, knock_rate=_KNOCKS)
        periods, made = count(), list[Still]()

        def act(sim: BimanualSim, task=task, error=error, periods=periods, made=made) -> np.ndarray:
            if next(periods) % _EVERY == 0:
                tcps = np.stack([sim.tcp(side) for side in SIDES])  # (2, 3)
                scene = Scene(sim.render(*CAMERAS), sim.joint_positions, sim.cube_poses(), tcps)
                made.append(_labelled(sim, scene, task, offsets))
            return operator.act(sim) + error.step()

        run_trial(sim, task, act)
        yield from made


class _GraspOffsets:
    """Joint offsets of an arm from the present pose to a grasp."""

    def __init__(self) -> None:
        self._kinematics = {side: ArmKinematics(side) for side in SIDES}

    def find(self, sim: BimanualSim, task: Task) -> np.ndarray:
        """(6,) [rad], to a grasp of the task's cube from above."""
        side = first_arm(task)
        arm, goal = arm_slice(side), grasp_pose(sim, side, task.colour)
        wanted = self._kinematics[side].solve_turned(HOME[arm], goal.point, goal.orientation, _ITERATIONS)
        return wanted - sim.joint_positions[arm]


def pose_targets(cubes: np.ndarray) -> np.ndarray:
    """Labels of a still from the top (12,): x, y [m] of each cube, sines and cosines of four times the yaws.

    ``cubes`` (3, 3) are x, y [m] and yaw [rad].
    """
    turns = TURNS * cubes[:, 2]  # (3,) [rad]
    return np.concatenate([cubes[:, :2].ravel(), np.sin(turns), np.cos(turns)]).astype(np.float32)


def wrists_with_more_cubes(stills: Stills) -> np.ndarray:
    """Which wrist camera sees more cubes (M,), 0 or 1."""
    seen = np.isfinite(stills.views[..., 0]).sum(axis=-1)  # (M, 2)
    even = np.arange(len(seen)) % 2
    return np.where(seen[:, 0] == seen[:, 1], even, seen.argmax(axis=1))


def picture_targets(stills: Stills, wrists: np.ndarray) -> np.ndarray:
    """Labels of two pictures of every still (2 M, 30), NaN where a picture does not show the value.

    Even rows are of the top camera: the first 12 entries are ``pose_targets``. Odd rows are of one wrist
    camera, ``wrists`` (M,): the other 18 entries say which cubes it sees, 0 or 1, and their ``cube_views``.
    """
    targets = np.full((2 * len(stills.cubes), len(PICTURE_WEIGHTS)), np.nan, np.float32)
    targets[::2, :_TOP] = np.stack([pose_targets(cubes) for cubes in stills.cubes])
    views = stills.views[np.arange(len(wrists)), wrists]  # (M, 3, 5)
    targets[1::2, _TOP : _TOP + len(CUBES)] = np.isfinite(views[..., 0])
    targets[1::2, _TOP + len(CUBES) :] = views.reshape(len(views), -1)
    return targets


def view_errors(errors: np.ndarray) -> np.ndarray:
    """Position errors [m] of the cubes in wrist pictures, from errors (M, 30) of ``picture_targets``."""
    views = errors[:, _TOP + len(CUBES) :].reshape(len(errors), len(CUBES), VIEW)  # (M, 3, 5)
    distances = np.linalg.norm(views[..., :3], axis=-1)  # (M, 3)
    return distances[np.isfinite(distances)]


def named_targets(stills: Stills, tasks: Sequence[Task]) -> np.ndarray:
    """Labels of the cube that each task names (M, K, 13).

    Its x, y [m], sine and cosine as in ``pose_targets``, the vector (3,) [m] from the table below the cube to
    the tool point of the task's first arm, and that arm's joint offsets (6,) [rad] to the grasp. The offsets
    are known for each still's own task, and NaN for the others.
    """
    named = [CUBES.index(task.colour) for task in tasks]
    sides = [SIDES.index(first_arm(task)) for task in tasks]
    cubes = stills.cubes[:, named]  # (M, K, 3)
    turns = TURNS * cubes[..., 2:]  # (M, K, 1) [rad]
    ground = cubes[..., :2]  # (M, K, 2)
    tool = stills.tcps[:, sides].copy()  # (M, K, 3)
    tool[..., :2] -= ground
    joints = np.full((*ground.shape[:2], ARM_JOINTS), np.nan)  # (M, K, 6)
    every = suite()
    for k, task in enumerate(tasks):
        own = stills.task == every.index(task)  # (M,)
        joints[own, k] = stills.way[own]
    parts = [ground, np.sin(turns), np.cos(turns), tool, joints]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def pose_errors(errors: np.ndarray) -> np.ndarray:
    """Position errors [m] (M, cubes) of errors (M, 12 or more) of ``pose_targets``."""
    places = errors[:, : 2 * len(CUBES)].reshape(len(errors), len(CUBES), 2)  # (M, 3, 2)
    return np.linalg.norm(places, axis=-1)
