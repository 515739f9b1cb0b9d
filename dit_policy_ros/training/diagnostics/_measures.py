# SPDX-License-Identifier: Apache-2.0
"""Recognises how policies of this kind fail: output collapse, idling, and doing another task than instructed.

Shapes: N observations, K instructions, T steps of a chunk, A action entries. Distances are root mean squares
over the valid steps and all entries of action differences, each entry in units of its standard deviation in
the dataset: 1.0 is as far apart as two typical moments of the data.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.training.diagnostics._diagnosis import (
    Evidence,
    Finding,
    Floats,
    TaskDiagnosis,
    Thresholds,
)

DEFAULTS = Thresholds()


def diagnose(evidence: Evidence, limits: Thresholds = DEFAULTS) -> tuple[TaskDiagnosis, ...]:
    """Judge every task that was observed; in the order of ``evidence.tasks``."""
    moved = evidence.scale > 1e-6
    unit = evidence.scale[moved]
    predicted = evidence.predicted[..., moved] / unit  # (N, K, T, A')
    demonstrated = evidence.demonstrated[..., moved] / unit  # (N, T, A')
    rows = np.arange(len(evidence.right))
    chosen = predicted[rows, evidence.right]  # (N, T, A')
    to_demonstration = distance(predicted, demonstrated[:, None], evidence.valid[:, None])  # (N, K)
    to_chosen = distance(predicted, chosen[:, None], evidence.valid[:, None])  # (N, K)
    apart = task_separation(evidence, demonstrated)  # (N,)
    return tuple(
        _judge(evidence, limits, task, chosen, demonstrated, to_demonstration, to_chosen, apart)
        for task in range(len(evidence.tasks))
        if (evidence.right == task).any()
    )


def distance(a: Floats, b: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Root mean square over the last two axes (T, A) of a - b, steps weighted by ``valid`` (..., T)."""
    squared = np.mean((a - b) ** 2, axis=-1)  # (..., T)
    weight = np.broadcast_to(valid, squared.shape).astype(float)
    return np.sqrt((squared * weight).sum(-1) / np.maximum(weight.sum(-1), 1.0))


def excursion(chunk: Floats, valid: NDArray[np.bool_]) -> Floats:
    """How far a chunk (N, T, A) goes from where it starts at most, as a root mean square of entries (N,).

    Of averages over a quarter of the chunk, so that trembling on the spot does not pass for motion. ``valid``
    (N, T) is true up to some step.
    """
    width = max(chunk.shape[1] // 4, 1)
    windows = np.lib.stride_tricks.sliding_window_view(chunk, width, axis=1).mean(-1)  # (N, W, A)
    way = np.sqrt(np.mean((windows - windows[:, :1]) ** 2, axis=-1))  # (N, W)
    return np.where(valid[:, width - 1 :], way, 0.0).max(-1)


def spread(chunks: Floats, valid: NDArray[np.bool_]) -> float:
    """Variance over observations (N, T, A), its mean over steps and entries; NaN for one observation."""
    counted = valid.sum(0) > 1  # (T,) steps that more than one observation has
    if not counted.any():
        return float("nan")
    weight = valid[..., None].astype(float)  # (N, T, 1)
    count = np.maximum(weight.sum(0), 1.0)  # (T, 1)
    centred = (chunks - (chunks * weight).sum(0) / count) * weight
    return float(((centred**2).sum(0) / count)[counted].mean())


def task_separation(evidence: Evidence, demonstrated: Floats) -> Floats:
    """How differently other tasks go on from the state most like each observation's (N,); NaN without others.

    Args:
        evidence: whose states are compared.
        demonstrated: (N, T, A) in units of the data's standard deviation.
    """
    state = evidence.state / np.maximum(evidence.state.std(0), 1e-6)  # (N, D)
    present = np.unique(evidence.right)
    apart = np.full((len(state), len(present)), np.nan)
    for column, task in enumerate(present):
        others = np.flatnonzero(evidence.right == task)
        gaps = ((state[:, None] - state[None, others]) ** 2).sum(-1)  # (N, others)
        twin = others[gaps.argmin(1)]  # (N,)
        both = evidence.valid & evidence.valid[twin]
        apart[:, column] = distance(demonstrated, demonstrated[twin], both)
        apart[evidence.right == task, column] = np.nan
    known = np.isfinite(apart)
    return np.where(known.any(1), np.where(known, apart, 0.0).sum(1) / np.maximum(known.sum(1), 1), np.nan)


def _judge(
    evidence: Evidence,
    limits: Thresholds,
    task: int,
    chosen: Floats,
    demonstrated: Floats,
    to_demonstration: Floats,
    to_chosen: Floats,
    apart: Floats,
) -> TaskDiagnosis:
    mine = evidence.right == task
    valid, name = evidence.valid[mine], evidence.tasks[task]
    went, way = excursion(chosen[mine], valid), excursion(demonstrated[mine], valid)  # (n,)
    moving = way >= limits.motion
    others = [k for k in range(len(evidence.tasks)) if k != task]
    near = to_demonstration[mine]  # (n, K)
    misled = mistaken = language = np.nan
    if others:
        is_misled = near[:, others].min(1) < (1 - limits.margin) * near[:, task]
        misled = is_misled.mean()
        mistaken = np.bincount(near[is_misled].argmin(1), minlength=len(evidence.tasks))
        language = _ratio(to_chosen[mine][:, others].mean(1).sum(), np.nansum(apart[mine]))
    figures = TaskDiagnosis(
        task=name,
        observations=int(mine.sum()),
        demonstrations=evidence.demonstrations.get(name, 0),
        frames=evidence.frames.get(name, 0),
        error=float(near[:, task].mean()),
        variance_ratio=_ratio(spread(chosen[mine], valid), spread(demonstrated[mine], valid)),
        motion_ratio=_ratio(went.sum(), way.sum()),
        idle_fraction=float((went < limits.still * way)[moving].mean()) if moving.any() else np.nan,
        misled_fraction=float(misled),
        mistaken_for=evidence.tasks[int(np.argmax(mistaken))] if np.any(mistaken) else None,
        language_ratio=float(language),
        nearest=_shares(near.argmin(1), evidence.tasks),
    )
    return _with_findings(figures, len(evidence.tasks), evidence.frames, limits)


def _with_findings(
    figures: TaskDiagnosis, instructions: int, frames: Mapping[str, int], limits: Thresholds
) -> TaskDiagnosis:
    by_chance = (instructions - 1) / instructions
    # Comparisons with NaN are false: what could not be measured is no finding.
    rules = {
        Finding.COLLAPSED: figures.variance_ratio < limits.variance_ratio,
        Finding.IDLE: figures.idle_fraction > limits.idle,
        Finding.WRONG_TASK: figures.misled_fraction > limits.misled * by_chance,
        Finding.LANGUAGE_BLIND: figures.language_ratio < limits.language,
        Finding.FEW_DEMONSTRATIONS: figures.demonstrations < limits.few,
        Finding.UNDERREPRESENTED: figures.frames < limits.underrepresented * max(frames.values(), default=0),
    }
    found = tuple(finding for finding, is_so in rules.items() if is_so)
    return dataclasses.replace(figures, findings=found)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if np.isfinite(whole) and whole > 1e-12 else float("nan")


def _shares(choices: NDArray[np.int64], tasks: Sequence[str]) -> dict[str, float]:
    counts = np.bincount(choices, minlength=len(tasks)) / len(choices)
    return {task: float(share) for task, share in zip(tasks, counts, strict=True)}
