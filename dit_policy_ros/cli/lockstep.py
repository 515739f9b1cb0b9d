# SPDX-License-Identifier: Apache-2.0
"""A policy drives the simulated robot in lock-step: no clock, no latency, no ROS, so a seed is an outcome.

This judges the network alone. Plain receding horizon: predict a chunk, execute its first steps, predict
again; what the nodes add (ensembling, splicing, limits, latency) is absent.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.core.policy_protocol import Policy
from dit_policy_ros.sim.robot import STEP_NS, BimanualSim
from dit_policy_ros.sim.tasks import Touch, distance, success, touching


@dataclass(frozen=True, slots=True)
class Trial:
    """One instruction carried out, or not.

    closest: smallest gap to the cube [m]. seconds: until the touch, or the time limit. wrong: the named arm
    never touched its cube, but some gripper touched another.
    """

    seed: int
    task: Touch
    touched: bool
    wrong: bool
    closest: float
    seconds: float


def run_trials(
    policy: Policy,
    tasks: Sequence[Touch],
    seeds: Sequence[int],
    *,
    tasks_per_seed: int = 2,
    execute: int = 8,
    time_limit: float = 8.0,
    report: Callable[[Trial], None] = lambda trial: None,
) -> Iterator[Trial]:
    """Carry out ``tasks_per_seed`` instructions in each random scene, the arms going on from where they are.

    Args:
        policy: loaded; its fps must be known.
        tasks: chosen from evenly.
        seeds: one scene each.
        tasks_per_seed: instructions in a row; the second one starts with an arm over the cubes.
        execute: steps of each chunk that are executed before the next prediction.
        time_limit: per instruction [s].
        report: called with each trial.
    """
    fps = policy.fps or 30.0
    height, width = image_size(policy)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(tasks))
        with BimanualSim(seed, width=width, height=height) as sim:
            sim.reset(seed=seed, arm_jitter=0.05)
            for i in range(tasks_per_seed):
                task = tasks[order[i % len(order)]]
                trial = _run(policy, sim, task, seed, fps, execute, round(time_limit * fps))
                report(trial)
                yield trial


class PolicyActor:
    """Drives the robot by a policy: predict a chunk, execute its first steps, predict again."""

    def __init__(self, policy: Policy, instruction: str, execute: int) -> None:
        """Nothing is remembered yet; before there is a past the first sample repeats, as in training."""
        self._policy, self._instruction, self._execute = policy, instruction, execute
        self._cameras = tuple(policy.image_shapes)
        history = policy.n_obs_steps
        self._images: dict[str, deque[np.ndarray]] = {c: deque(maxlen=history) for c in self._cameras}
        self._states: deque[np.ndarray] = deque(maxlen=history)
        self._plan: deque[np.ndarray] = deque()

    def __call__(self, sim: BimanualSim) -> np.ndarray:
        """The joint target (14,) [rad], [m] for the next period."""
        rendered = sim.render(*self._cameras) if self._cameras else {}
        for _ in range(1 if self._states else self._policy.n_obs_steps):
            self._states.append(sim.joint_positions.astype(np.float32))
            for camera in self._cameras:
                self._images[camera].append(rendered[camera])
        if not self._plan:
            history = {camera: np.stack(queue) for camera, queue in self._images.items()}
            chunk = self._policy.predict(history, np.stack(self._states), self._instruction)
            self._plan.extend(chunk[1 : 1 + self._execute])  # row 0 is for this instant, which has passed
        return np.clip(self._plan.popleft(), sim.lower, sim.upper)


def image_size(policy: Policy) -> tuple[int, int]:
    """(height, width) [pixel] at which the simulation must render for a policy."""
    shapes = list(policy.image_shapes.values())
    return shapes[0] if shapes else (240, 320)


def _run(
    policy: Policy, sim: BimanualSim, task: Touch, seed: int, fps: float, execute: int, limit: int
) -> Trial:
    act, start_ns = PolicyActor(policy, task.instruction, execute), sim.time_ns
    closest, wrong = np.inf, False
    for frame in range(limit):
        target = act(sim)
        next_ns = start_ns + round((frame + 1) * 1e9 / fps)
        sim.step_towards(target, max(1, round((next_ns - sim.time_ns) / STEP_NS)))
        closest = min(closest, distance(sim, task))
        wrong = wrong or any(pair != (task.side, task.colour) for pair in touching(sim))
        if success(sim, task):
            return Trial(seed, task, True, False, 0.0, (frame + 1) / fps)
    return Trial(seed, task, False, wrong, float(closest), limit / fps)
