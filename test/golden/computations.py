# SPDX-License-Identifier: Apache-2.0
"""What the golden test computes: each function returns arrays by name, the same ones in every run.

Only this file and motions.py (plans) know names of the package. After a rename they change, and the stored
values stay. An array whose name ends in ``digest`` is a hash: it can be compared, but not nearly.

Inputs are drawn from a uniform distribution and made by the four rules of arithmetic, which every machine
rounds alike.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import motions
import numpy as np
from arrays import MS, Arrays, digest, file_contents
from episodes import CAMERAS, make
from motion_helpers import PERIOD_NS, T0_NS
from numpy.typing import NDArray
from tiny_policy import TASKS, random_observation
from tiny_training import run, trainer
from tiny_variants import DDIM, FLOW, VARIANTS, infer, save

from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.data.recording import EpisodeOutcome
from dit_policy_ros.policy import load_policy
from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.robot import HOME, BimanualSim
from dit_policy_ros.sim.tasks import find_task, move_for_period
from dit_policy_ros.training.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]


# --- chunks ------------------------------------------------------------------------------------------------

SHIPPED: dict[str, dict[str, Any]] = {
    "plain": {"backend": "plain"},
    "eager": {"backend": "eager"},
    "traced": {"backend": "traced"},
    "DDIM 5": {"num_inference_steps": 5},
    "DDPM 5": {"num_inference_steps": 5, "noise_scheduler_type": "DDPM"},
    "guided": {"guidance_scale": 1.5},
    "continuity": {"real_time_chunking": True},
    "warm start": {"warm_start": 3},
}


def chunks() -> Arrays:
    """The shipped checkpoint in every quick form, and tiny policies of every kind."""
    arrays: Arrays = {}
    for name, options in SHIPPED.items():
        rng = np.random.default_rng(3)
        policy = load_policy(ROOT / "checkpoints" / "cube_tasks", num_threads=1, **options)
        steps, rows, entries = policy.n_obs_steps, policy.horizon, policy.action_dim
        images = {
            camera: rng.integers(0, 256, (steps, *shape, 3), dtype=np.uint8)
            for camera, shape in policy.image_shapes.items()
        }
        state = (HOME + rng.uniform(-0.02, 0.02, (steps, entries))).astype(np.float32)
        noise = rng.uniform(-1.7, 1.7, (rows, entries)).astype(np.float32)
        known = np.full((rows, entries), np.nan)  # the pose, slowly moving, as far as it is known
        known[:15] = state[-1] + 0.002 * np.arange(15)[:, None]
        previous = Continuation(known, 4)
        task, other = policy.known_tasks[0], policy.known_tasks[-1]
        arrays[f"shipped {name}: noise"] = policy.predict(images, state, task, noise, previous)
        policy.seed_sampling(7)
        arrays[f"shipped {name}: seed"] = policy.predict(images, state[::-1], other, previous=previous)
    with tempfile.TemporaryDirectory() as folder:
        for i, options in enumerate(VARIANTS):
            saved = save(Path(folder) / str(i), **options)
            name = ", ".join(f"{key}={value}" for key, value in options.items()) or "as is"
            for form in ("plain", "eager"):
                arrays[f"tiny {form}, {name}"] = infer(load_policy(saved, num_threads=1, backend=form))
        for name, options in (("DDIM", DDIM), ("flow", FLOW)):
            saved = save(Path(folder) / name, **options)
            # Values are stored under the names that the options had then.
            for stored_as, reuse in (
                ("chunk_continuity", {"real_time_chunking": True}),
                ("warm_start", {"warm_start": 2}),
            ):
                policy = load_policy(saved, num_threads=1, **reuse)
                images, state = random_observation(policy.checkpoint.config)
                rows = np.full((policy.horizon, policy.action_dim), 0.125)
                policy.seed_sampling(9)
                chunk = policy.predict(images, state, TASKS[1], previous=Continuation(rows, 3))
                arrays[f"tiny {name}, {stored_as}"] = chunk
    return arrays


# --- weights -----------------------------------------------------------------------------------------------


def weights() -> Arrays:
    """Three steps of training a tiny policy from a seed, for each objective."""
    arrays: Arrays = {}
    for objective in ("diffusion", "flow_matching"):
        config = TrainConfig(steps=3, batch_size=8, seed=5, warmup_steps=1, device="cpu")
        losses, network = run(trainer(config, objective=objective))
        tensors = [tensor.numpy() for _, tensor in sorted(network.state_dict().items())]
        arrays[f"{objective}: losses"] = np.array(losses)
        arrays[f"{objective}: sums"] = np.array([tensor.sum(dtype=np.float64) for tensor in tensors])
        arrays[f"{objective}: weights digest"] = digest(*tensors)
    return arrays


# --- dataset -----------------------------------------------------------------------------------------------


def dataset() -> Arrays:
    """Two recorded episodes: what the files hold, and what is read back from them."""
    rng = np.random.default_rng(4)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "dataset"
        writer = make(root)
        for episode, (frames, task) in enumerate(((9, TASKS[0]), (7, TASKS[1]))):
            for i in range(frames):
                images = {camera.name: _picture(rng, camera.height, camera.width) for camera in CAMERAS}
                stamp_ns = T0_NS + episode * 5_000 * MS + i * PERIOD_NS
                repeated = ("wrist", "joint_states") if i in (3, 4) else ()
                vectors = rng.uniform(-1.0, 1.0, (2, 3))
                writer.add_frame(images, vectors[0], vectors[1], task, stamp_ns, repeated)
            reasons = ("a test",) * episode
            writer.save_episode(EpisodeOutcome(episode == 0, not reasons, reasons, figures={"rate": 29.5}))
        writer.finalize()
        arrays = file_contents(root)
        # One by one: cameras of different sizes are not read together.
        reads = {camera.name: read_demonstrations(root, (camera.name,)) for camera in CAMERAS}
    for name, read in reads.items():
        arrays[f"read: {name} means"] = np.array(read.images[name]).mean(axis=(1, 2))
        arrays[f"read: {name} digest"] = digest(np.array(read.images[name]))
    for name in ("state", "action", "task_index", "episode_index"):
        arrays[f"read: {name}"] = getattr(read, name)
    return arrays


def _picture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Coloured blocks of eight pixels."""
    blocks = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


# --- sim ---------------------------------------------------------------------------------------------------


def sim() -> Arrays:
    """The scripted operator in lock-step: what it asks for and where the robot then is."""
    arrays: Arrays = {}
    words = ("touch the red cube with the left arm", "lift the blue cube with the right arm")
    for seed, instruction in enumerate((*words, "push the green cube to the left zone")):
        operator = Operator(np.random.default_rng(seed))
        with BimanualSim(seed) as robot:
            robot.reset(seed=seed, arm_jitter=0.05)
            operator.begin(robot, find_task(instruction))
            rows = []
            for period in range(75):
                action = operator.act(robot)
                for _ in move_for_period(robot, action, 0, period):
                    pass
                rows.append(np.stack([action, robot.joint_positions, robot.joint_velocities]))
        arrays[f"{instruction}: digest"] = digest(np.array(rows))
        arrays[f"{instruction}: action, positions, velocities"] = np.array(rows)[4::10]
    return arrays


GROUPS: dict[str, Callable[[], Arrays]] = {
    "plans": motions.plans,
    "chunks": chunks,
    "weights": weights,
    "dataset": dataset,
    "sim": sim,
}
