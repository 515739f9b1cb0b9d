# SPDX-License-Identifier: Apache-2.0
"""Demonstrations in lock-step: physics, scripted operator and cameras take turns, no clock involved."""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from dit_policy_ros.sim.operator._disturbance import Disturbance
from dit_policy_ros.sim.operator._expert import Expert
from dit_policy_ros.sim.robot import CAMERAS, FPS, STEP_NS, BimanualSim, sample_cubes
from dit_policy_ros.sim.tasks import Touch, demo_tasks, distance, success


@dataclass(frozen=True, slots=True)
class Frame:
    """One instant. images: {camera: uint8 (H, W, 3) RGB}; state, action: float64 (14,) [rad], [m].

    state is measured, action is the joint target in force, both at the instant of the images.
    """

    images: dict[str, np.ndarray]
    state: np.ndarray
    action: np.ndarray


@dataclass(frozen=True, slots=True)
class Episode:
    """One instruction from its beginning. sequence: counts resets; within one, the arms go on from where
    the last episode left them. interrupted: a new instruction came before this one was done."""

    task: Touch
    success: bool
    interrupted: bool
    sequence: int
    distance: float
    frames: tuple[Frame, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """How demonstrations vary.

    tasks: to choose from, evenly. tasks_per_sequence: instructions between resets (inclusive range).
    arm_jitter: start poses lie up to this far [rad] from home. disturbance: standard deviation [rad] of a
    slow error added to what the robot executes but not to the recorded action, so that the data show how to
    come back. reshuffle, interrupt: probabilities that cubes move between instructions, and that an
    instruction is replaced before it is done. hold: how long a touch is held [s] (range).
    """

    tasks: tuple[Touch, ...] = field(default_factory=demo_tasks)
    cameras: tuple[str, ...] = CAMERAS
    tasks_per_sequence: tuple[int, int] = (2, 4)
    arm_jitter: float = 0.08
    disturbance: float = 0.008
    reshuffle: float = 0.3
    interrupt: float = 0.1
    hold: tuple[float, float] = (0.4, 0.8)
    time_limit: float = 8.0  # [s] per instruction


def demonstrate(
    count: int, seed: int = 0, settings: Settings | None = None, *, width: int = 320, height: int = 240
) -> Iterator[Episode]:
    """Yields `count` episodes at 30 frames a second, the same ones for the same seed and settings.

    Without cameras (an empty tuple) no renderer is needed and the frames' images are empty.
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
    """Lets the operator carry out one task from wherever the robot is; returns what was recorded."""
    expert.begin(task)
    limit = round(settings.time_limit * FPS)  # [frames]
    interrupt_at = int(rng.uniform(0.4, 2.0) * FPS) if rng.random() < settings.interrupt else limit
    hold = round(rng.uniform(*settings.hold) * FPS)  # [frames]
    noise = Disturbance(rng, settings.disturbance)
    frames: list[Frame] = []
    held = 0
    action = expert.target  # (14,), what the operator asks for at this instant
    start_ns = sim.time_ns
    while held <= hold and len(frames) < min(limit, interrupt_at):
        images = sim.render(*settings.cameras) if settings.cameras else {}
        frames.append(Frame(images, sim.joint_positions, action))
        action = expert.act(sim)
        next_ns = start_ns + round(len(frames) * 1e9 / FPS)
        executed = np.clip(action + noise.step(), sim.lower, sim.upper)
        sim.step_towards(executed, max(1, round((next_ns - sim.time_ns) / STEP_NS)))
        held = held + 1 if success(sim, task) else 0
    done = held > 0
    return Episode(
        task, done, not done and interrupt_at < limit, sequence, distance(sim, task), tuple(frames)
    )


def main() -> None:
    """Measures the scripted operator: success rate, episode length, frames per second."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--episodes", type=int, default=100, help="instructions to carry out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cameras", nargs="*", default=[], choices=CAMERAS, help="cameras to render")
    arguments = parser.parse_args()
    settings = Settings(cameras=tuple(arguments.cameras))
    begun = time.perf_counter()
    episodes = frames = done = interrupted = 0
    for episode in demonstrate(arguments.episodes, arguments.seed, settings):
        episodes += 1
        frames += len(episode.frames)
        done += episode.success
        interrupted += episode.interrupted
    elapsed = time.perf_counter() - begun
    print(
        f"{episodes} episodes, {interrupted} interrupted on purpose; of the others {done} succeeded "
        f"({done / max(1, episodes - interrupted):.1%}); {frames / episodes / FPS:.2f} s each; "
        f"{frames / elapsed:.0f} frames/s"
    )


if __name__ == "__main__":
    main()
