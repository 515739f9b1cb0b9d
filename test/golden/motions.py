# SPDX-License-Identifier: Apache-2.0
"""The motion part of the golden test: random chunks through the pipeline, for robots with random limits."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from arrays import MS, Arrays, digest
from motion_helpers import PERIOD_NS, T0_NS, ensemble_settings, make_pipeline

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion import Chunk, EnsembleMode, Pacing


def plans() -> Arrays:
    """Random chunks through the pipeline, for robots with random limits."""
    arrays: Arrays = {}
    kinds = [(mode, jerk, turns) for mode in ("act", "newest", "none") for jerk in (0, 1) for turns in (0, 1)]
    for seed, (mode, jerk, turns) in enumerate(kinds):
        name = f"{mode}{' jerk' * jerk}{' continuous' * turns}"
        arrays |= _motion(name, np.random.default_rng(seed), mode, jerk, turns, _stream)
    for jerk in (0, 1):
        rng = np.random.default_rng(100 + jerk)
        arrays |= _motion(f"in turns{' jerk' * jerk}", rng, "act", jerk, 0, _turns, pacing=Pacing.STOP_AND_GO)
    return arrays


def _motion(
    name: str, rng: np.random.Generator, mode: str, jerk: int, turns: int, script: Callable, **changes: Any
) -> Arrays:
    """Runs a script and keeps a hash of every plan, a few plans whole, and what was counted."""
    joints = 4  # the last one is a gripper
    velocity = rng.uniform(0.4, 2.5, joints)
    acceleration = velocity / rng.uniform(0.15, 0.45, joints)
    limits = Limits(
        np.where(np.arange(joints) < turns, -np.inf, rng.uniform(-1.5, -0.4, joints)),
        np.where(np.arange(joints) < turns, np.inf, rng.uniform(0.4, 1.5, joints)),
        velocity,
        acceleration,
        np.where(np.arange(joints) % 3 < 2 * jerk, acceleration * rng.uniform(5.0, 20.0, joints), np.inf),
    )
    ensemble = ensemble_settings(
        joints,
        mode=EnsembleMode(mode),
        temporal_ensemble_coeff=float(rng.uniform(0.0, 0.3)),
        never_averaged=np.arange(joints) == joints - 1,
        max_disagreement=rng.uniform(0.25, 0.5, joints),
        coupling=np.arange(joints) // 2,
        taper_ns=int(rng.integers(0, 2)) * 200 * MS,
        continuous=np.arange(joints) < turns,
    )
    settings = {
        "ensemble": ensemble,
        "soft_start": float(rng.uniform(0.0, 0.5)),
        "fade_knots": int(rng.integers(1, 7)),
        "task_fade": float(rng.uniform(0.2, 0.9)),
        "max_tracking_error": np.full(joints, 0.3),
        "pose_tolerance": np.full(joints, np.inf),
    }
    pipeline = make_pipeline(joints, limits, **(settings | changes))
    pipeline.start(rng.uniform(-0.3, 0.3, joints), T0_NS)
    arrays: Arrays = {}
    hashes, answers = [], []
    for i, answer in enumerate(script(pipeline, rng, joints)):
        if isinstance(answer, np.ndarray):
            hashes.append(digest(answer))
            continue
        answers.append(answer if isinstance(answer, int) else -1 if answer is None else 2)
        plan = pipeline.plan
        hashes.append(digest(plan.times_ns, plan.positions, plan.velocities))
        if i % 14 == 0:
            arrays[f"{name}: {i} positions"] = plan.positions[:24]
            arrays[f"{name}: {i} velocities"] = plan.velocities[:24]
            arrays[f"{name}: {i} times"] = plan.times_ns[:24] - T0_NS
    counted = [pipeline.plans, pipeline.expired_chunks, pipeline.limited_knots, pipeline.holds]
    limited = [int(entry.split()[-1]) for entry in pipeline.most_limited(99).split(", ") if entry]
    return arrays | {
        f"{name}: plans digest": np.stack(hashes),
        f"{name}: answers": np.array(answers),
        f"{name}: counters": np.array([*counted, pipeline.disagreements, pipeline.live_chunks, *limited]),
    }


def _chunk(rng: np.random.Generator, joints: int, stamp_ns: int) -> Chunk:
    """A bent line near a pose that all chunks share; one in five is elsewhere."""
    u = np.arange(24)[:, None] / 24
    far = 4.0 if rng.uniform() < 0.2 else 1.0
    rows = rng.uniform(-0.15, 0.15, (3, joints)) * far
    return Chunk(stamp_ns, PERIOD_NS, 0.25 + rows[0] + u * (2 * rows[1] + u * 3 * rows[2]))


def _stream(pipeline: Any, rng: np.random.Generator, joints: int) -> Iterator[object]:
    """Chunks at irregular times, a new task, a slow stretch, holds of every kind; yields each answer."""
    now_ns = T0_NS
    for i in range(30):
        stamp_ns = now_ns + int(rng.integers(90, 240)) * MS
        now_ns = stamp_ns + int(rng.integers(30, 120)) * MS
        chunk = _chunk(rng, joints, stamp_ns if i != 5 else stamp_ns - 2000 * MS)  # one is too old
        if i == 8:
            pipeline.change_task()
        if i in (11, 14):
            pipeline.set_velocity_scale(0.4 if i == 11 else 1.0)
        if i == 17:
            chunk.actions[3, 1] = np.nan
        try:
            yield pipeline.add_chunk(chunk, now_ns)
        except PlanRejected:
            pipeline.hold("not finite", now_ns)
            yield pipeline.resume(now_ns + 10 * MS)
        known = pipeline.continuation(chunk, stamp_ns + 100 * MS, stamp_ns + 200 * MS, 12, now_ns + 200 * MS)
        yield None if known is None else np.append(known.actions, known.committed)
        if i in (18, 22, 26):
            measured = pipeline.plan.sample_at(now_ns)[0] + rng.uniform(-0.4, 0.4, joints)
            pipeline.hold("a test", now_ns, measured, now_ns - 40 * MS if i == 26 else None)
            yield pipeline.resume(now_ns + 5 * MS)
            now_ns += 1500 * MS
            moved = pipeline.plan.positions[-1] + rng.uniform(-0.1, 0.1, joints)
            yield pipeline.resume(now_ns, moved if i > 18 else None, np.arange(joints) == 2)


def _turns(pipeline: Any, rng: np.random.Generator, joints: int) -> Iterator[object]:
    """Chunks whenever the arms rest, each carried out to its end; yields each answer."""
    now_ns = T0_NS
    for _ in range(250):
        now_ns += 20 * MS
        if pipeline.accepts_observation(now_ns):
            chunk = _chunk(rng, joints, now_ns)
            now_ns += int(rng.integers(200, 900)) * MS
            yield pipeline.add_chunk(chunk, now_ns)
        elif (plan := pipeline.extend(now_ns)) is not None:
            yield plan
