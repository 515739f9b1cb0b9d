# SPDX-License-Identifier: Apache-2.0
"""Stills of the scene with what is in them, for teaching a vision encoder where things are."""

from collections.abc import Iterator
from itertools import chain, count, islice

import numpy as np

from dit_policy_ros.sim.disturbance import Disturbance
from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.scenes import CUBES, Scene, sample_scenes
from dit_policy_ros.sim.suite import suite
from dit_policy_ros.sim.trial import carry_out

_EVERY = 6  # periods of 1/30 s between two stills of one task
_DISTURBANCE = 0.008  # [rad], standard deviation of what leads the arms astray
_TURNS = 4  # a square looks the same after a quarter turn


def scene_stills(sim: BimanualSim, number: int, seed: int, camera: str) -> Iterator[Scene]:
    """Yields ``number`` stills: half of them of random scenes, half of scripted tasks on their way."""
    random = number // 2
    return chain(
        sample_scenes(sim, random, seed, (camera,)), islice(_on_the_way(sim, seed, camera), number - random)
    )


def _on_the_way(sim: BimanualSim, seed: int, camera: str) -> Iterator[Scene]:
    rng = np.random.default_rng(seed)
    operator, tasks = Operator(rng), suite()
    while True:
        sim.reset(seed=int(rng.integers(2**31)), arm_jitter=0.05)
        task = tasks[int(rng.integers(len(tasks)))]
        operator.begin(sim, task)
        error, periods, made = Disturbance(rng, _DISTURBANCE), count(), list[Scene]()

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


def pose_errors(errors: np.ndarray) -> np.ndarray:
    """Distances [m] (M, cubes) of errors (M, 12) of such targets."""
    places = errors[:, : 2 * len(CUBES)].reshape(len(errors), len(CUBES), 2)  # (M, 3, 2)
    return np.linalg.norm(places, axis=-1)
