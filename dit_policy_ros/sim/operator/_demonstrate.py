# SPDX-License-Identifier: Apache-2.0
"""Touch demonstrations in lock-step: physics, scripted expert and cameras take turns, without a clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from dit_policy_ros.sim.operator._disturbance import Disturbance
from dit_policy_ros.sim.operator._expert import Expert
from dit_policy_ros.sim.robot import CAMERAS, FPS, STEP_NS, BimanualSim, sample_cubes
from dit_policy_ros.sim.tasks import Touch, demo_tasks, is_touching, touch_distance


@dataclass(frozen=True, slots=True)
class Frame:
    """One instant. images: {camera: uint8 (H, W, 3) RGB}; state, action: float64 (14,) [rad], [m].

    state is measured, action is the present joint target. Both are of the instant of the images.
    """

    images: dict[str, np.ndarray]
    state: np.ndarray
    action: np.ndarray


@dataclass(frozen=True, slots=True)
class Episode:
    """One demonstration.

    sequence: number of the reset before it; within one sequence the arms continue from the last episode.
    interrupted: a new task began before this one was done.
    """

    task: Touch
    success: bool
    interrupted: bool
    sequence: int
    distance: float
    frames: tuple[Frame, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """How demonstrations vary.

    tasks: drawn evenly. tasks_per_sequence: tasks between resets (inclusive range). arm_jitter: largest
    distance of the start pose from home [rad]. disturbance: standard deviation [rad] of a slow error in what
    the robot executes, but not in the recorded action, so that the data show how to recover. reshuffle,
    interrupt: probabilities that cubes move between tasks, and that a task is replaced before it is done.
    hold: how long a touch is held [s] (range).
    """

    tasks: tuple[Touch, ...] = field(default_factory=demo_tasks)
    cameras: tuple[str, ...] = CAMERAS
    tasks_per_sequence: tuple[int, int] = (2, 4)
    arm_jitter: float = 0.08
    disturbance: float = 0.008
    reshuffle: float = 0.3
    interrupt: float = 0.1
    hold: tuple[float, float] = (0.4, 0.8)
    time_limit: float = 8.0  # [s] per task


def demonstrate(
    count: int, seed: int = 0, settings: Settings | None = None, *, width: int = 320, height: int = 240
) -> Iterator[Episode]:
    """Yields `count` episodes at 30 frames a second. The seed and the settings determine them.

    Without cameras (an empty tuple) no renderer is needed, and frames have no images.
    """
    settings = settings or Settings()
    rng = np.random.default_rng(seed)
    expert = Expert(rng)
    made, sequence = 0, 0
    with BimanualSim(seed, width=width, height=height) as sim:
        while made < count:
            sim.reset(seed=int(rng.integers(2**31)), arm_jitter=settings.arm_jitter)
            expert.reset(sim)
            task: Touch | None = None
            low, high = settings.tasks_per_sequence
            for turn in range(int(rng.integers(low, high + 1))):
                if made == count:
                    return
                if turn > 0 and rng.random() < settings.reshuffle:
                    grippers = np.stack([sim.tcp("left")[:2], sim.tcp("right")[:2]])  # (2, 2)
                    sim.place_cubes(sample_cubes(rng, keep_out=grippers))
                task = _next_task(settings.tasks, task, rng)
                yield run_episode(sim, expert, task, rng, settings, sequence)
                made += 1
            sequence += 1


def _next_task(tasks: Sequence[Touch], last: Touch | None, rng: np.random.Generator) -> Touch:
    choices = [task for task in tasks if task != last] or list(tasks)
    return choices[int(rng.integers(len(choices)))]


def run_episode(
    sim: BimanualSim,
    expert: Expert,
    task: Touch,
    rng: np.random.Generator,
    settings: Settings,
    sequence: int = 0,
) -> Episode:
    """Has the expert do one task from the present state; returns what was recorded."""
    expert.begin(task)
    limit = round(settings.time_limit * FPS)  # [frames]
    interrupt_at = int(rng.uniform(0.4, 2.0) * FPS) if rng.random() < settings.interrupt else limit
    hold = round(rng.uniform(*settings.hold) * FPS)  # [frames]
    noise = Disturbance(rng, settings.disturbance)
    frames: list[Frame] = []
    held = 0
    action = expert.target  # (14,), the present joint target
    start_ns = sim.time_ns
    while held <= hold and len(frames) < min(limit, interrupt_at):
        images = sim.render(*settings.cameras) if settings.cameras else {}
        frames.append(Frame(images, sim.joint_positions, action))
        action = expert.act(sim)
        next_ns = start_ns + round(len(frames) * 1e9 / FPS)
        executed = np.clip(action + noise.step(), sim.lower, sim.upper)
        sim.step_towards(executed, max(1, round((next_ns - sim.time_ns) / STEP_NS)))
        held = held + 1 if is_touching(sim, task) else 0
    done = held > 0
    return Episode(
        task, done, not done and interrupt_at < limit, sequence, touch_distance(sim, task), tuple(frames)
    )
