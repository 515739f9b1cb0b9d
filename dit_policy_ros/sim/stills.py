# SPDX-License-Identifier: Apache-2.0
"""Stills of the scene with what is in them, for teaching a policy where things are and what is meant."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice

import numpy as np

from dit_policy_ros.sim.disturbance import Disturbance
from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.scenes import CUBES, Scene, sample_scenes
from dit_policy_ros.sim.starts import Starts
from dit_policy_ros.sim.suite import Task, first_arm, suite
from dit_policy_ros.sim.trial import carry_out

_EVERY = 6  # periods of 1/30 s between two stills of one task
_DISTURBANCE = 0.008  # [rad], standard deviation of what leads the arms astray
_KNOCKS = 0.7  # [1/s]
_TURNS = 4  # a square looks the same after a quarter turn


@dataclass(frozen=True, slots=True)
class Stills:
    """Many stills of one camera.

    images: uint8 (M, h, w, 3). cubes: (M, 3, 3) x, y [m] and yaw [rad] by colour. state: (M, 14) [rad], [m].
    tcps: (M, 2, 3) [m] between the finger tips of each arm.
    """

    images: np.ndarray
    cubes: np.ndarray
    state: np.ndarray
    tcps: np.ndarray


def scene_stills(sim: BimanualSim, number: int, seed: int, camera: str) -> Iterator[Scene]:
    """Yields ``number`` stills: half of them of random scenes, half of scripted tasks on their way."""
    random = number // 2
    return chain(
        sample_scenes(sim, random, seed, (camera,)), islice(_on_the_way(sim, seed, camera), number - random)
    )


def _on_the_way(sim: BimanualSim, seed: int, camera: str) -> Iterator[Scene]:
    rng = np.random.default_rng(seed)
    operator, starts, tasks = Operator(rng), Starts(rng), suite()
    while True:
        sim.reset(seed=int(rng.integers(2**31)), arm_jitter=0.05)
        task = tasks[int(rng.integers(len(tasks)))]
        if rng.random() < 0.5:
            starts.place(sim, first_arm(task))
        operator.begin(sim, task)
        error = Disturbance(rng, _DISTURBANCE, knock_rate=_KNOCKS)
        periods, made = count(), list[Scene]()

        def act(sim: BimanualSim, error=error, periods=periods, made=made) -> np.ndarray:
            if next(periods) % _EVERY == 0:
                tcps = np.stack([sim.tcp("left"), sim.tcp("right")])  # (2, 3)
                made.append(Scene(sim.render(camera), sim.joint_positions, sim.cube_poses(), tcps))
            return operator.act(sim) + error.step()

        carry_out(sim, task, act)
        yield from made


def pose_targets(cubes: np.ndarray) -> np.ndarray:
    """What an encoder is to find in a still (12,): places x, y [m] of the cubes, then how they are turned.

    ``cubes`` (3, 3) are x, y [m] and yaw [rad]. The sine and cosine are of four times the yaw.
    """
    turns = _TURNS * cubes[:, 2]  # (3,) [rad]
    return np.concatenate([cubes[:, :2].ravel(), np.sin(turns), np.cos(turns)]).astype(np.float32)


def named_targets(stills: Stills, tasks: Sequence[Task]) -> np.ndarray:
    """What is to be known of the cube that each task names (M, K, 10).

    Its place x, y [m], how it is turned as in ``pose_targets``, and the way (3,) [m] from the table under it
    to between the fingers of each arm.
    """
    named = [CUBES.index(task.colour) for task in tasks]
    cubes = stills.cubes[:, named]  # (M, K, 3)
    turns = _TURNS * cubes[..., 2:]  # (M, K, 1) [rad]
    ground = cubes[..., :2]  # (M, K, 2)
    ways = np.repeat(stills.tcps[:, None], len(named), axis=1)  # (M, K, 2, 3)
    ways[..., :2] -= ground[:, :, None]
    flat = ways.reshape(*ways.shape[:2], 6)
    return np.concatenate([ground, np.sin(turns), np.cos(turns), flat], axis=-1).astype(np.float32)


def pose_errors(errors: np.ndarray) -> np.ndarray:
    """Distances [m] (M, cubes) of errors (M, 12) of such targets."""
    places = errors[:, : 2 * len(CUBES)].reshape(len(errors), len(CUBES), 2)  # (M, 3, 2)
    return np.linalg.norm(places, axis=-1)
