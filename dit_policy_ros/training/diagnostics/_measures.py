# SPDX-License-Identifier: Apache-2.0
"""Measures how policies of this kind fail: output collapse, idling, and doing another task than instructed.

Shapes: N observations, n of them of one task, K instructions, T steps of a chunk, A action entries, A' of
them that move. Distances are root mean squares over the valid steps and all entries of action differences.
Each entry is in units of its standard deviation in the dataset: 1.0 is the distance of two typical moments.
An entry that hardly moves has a larger unit, or its noise would count more than motion (``spread_units``).
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.training.diagnostics._diagnosis import (
    Finding,
    Floats,
    Predictions,
    TaskDiagnosis,
    Thresholds,
)

DEFAULT_THRESHOLDS = Thresholds()
NEVER = 1e-6
"""An entry with a smaller standard deviation never changes; the rest is rounding."""


RESTING = 0.1
"""The least unit of an entry, as a share of a typical entry's standard deviation."""
_MOVES = 0.02  # share of the largest standard deviation from which an entry says what is typical


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Predicted and demonstrated chunks in the entries' units, and their distances."""

    followed: Floats  # (N, T, A') predicted under the demonstrated instruction
    demonstrated: Floats  # (N, T, A')
    to_demonstration: Floats  # (N, K) distance of each prediction to the demonstration
    to_followed: Floats  # (N, K) distance of each prediction to the one under the demonstrated instruction
    separation: Floats  # (N,) of the tasks
    names: tuple[str, ...]  # A'


def spread_units(values: NDArray[np.floating]) -> Floats:
    """The unit of each entry of values (M, A): its standard deviation, but never next to nothing.

    The floor is RESTING of the median over the entries that move; without it, an error of 10 mrad of a joint
    that rested to 0.1 mrad would be 100 units. Entries that never change at all get 0.
    """
    deviation = np.asarray(values, dtype=np.float64).std(axis=0)  # (A,)
    moving = deviation[deviation >= max(_MOVES * deviation.max(initial=0.0), NEVER)]
    floor = RESTING * float(np.median(moving)) if len(moving) else 0.0
    return np.where(deviation > NEVER, np.maximum(deviation, floor), 0.0)


def diagnose(
    predictions: Predictions, thresholds: Thresholds = DEFAULT_THRESHOLDS
) -> tuple[TaskDiagnosis, ...]:
    """Judge every task that was observed, in the order of ``predictions.tasks``."""
    comparison = _compare(predictions)
    return tuple(
        _with_findings(_figures(predictions, comparison, thresholds, task), predictions, thresholds)
        for task in range(len(predictions.tasks))
        if (predictions.demonstrated_task == task).any()
    )


def distance(a: Floats, b: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Root mean square over the last two axes (T, A) of a - b, steps weighted by ``valid`` (..., T)."""
    squared = np.mean((a - b) ** 2, axis=-1)  # (..., T)
    weight = np.broadcast_to(valid, squared.shape).astype(float)
    return np.sqrt((squared * weight).sum(-1) / np.maximum(weight.sum(-1), 1.0))


def excursion(chunk: Floats, valid: NDArray[np.bool_]) -> Floats:
    """The largest distance (N,) of a chunk (N, T, A) from its start, as a root mean square over entries.

    Uses averages over a quarter of the chunk, so that jitter does not count as motion. ``valid`` (N, T) is
    true up to some step.
    """
    width = max(chunk.shape[1] // 4, 1)
    windows = np.lib.stride_tricks.sliding_window_view(chunk, width, axis=1).mean(-1)  # (N, W, A)
    moved = np.sqrt(np.mean((windows - windows[:, :1]) ** 2, axis=-1))  # (N, W)
    return np.where(valid[:, width - 1 :], moved, 0.0).max(-1)


def spread(chunks: Floats, valid: NDArray[np.bool_]) -> float:
    """Variance over observations (N, T, A), its mean over steps and entries; NaN for one observation."""
    is_shared = valid.sum(0) > 1  # (T,) steps that more than one observation has
    if not is_shared.any():
        return float("nan")
    weight = valid[..., None].astype(float)  # (N, T, 1)
    count = np.maximum(weight.sum(0), 1.0)  # (T, 1)
    centred = (chunks - (chunks * weight).sum(0) / count) * weight
    return float(((centred**2).sum(0) / count)[is_shared].mean())


def task_separation(predictions: Predictions, demonstrated: Floats) -> Floats:
    """How far apart (N,) the tasks continue from similar states; NaN if there is one task.

    For each observation and each other task it takes the most similar state of that task.

    Args:
        predictions: their states are compared.
        demonstrated: (N, T, A) in the entries' units.
    """
    unit = spread_units(predictions.state)  # (D,)
    state = predictions.state[:, unit > 0] / unit[unit > 0]  # (N, D')
    present = np.unique(predictions.demonstrated_task)
    apart = np.full((len(state), len(present)), np.nan)
    for column, task in enumerate(present):
        candidates = np.flatnonzero(predictions.demonstrated_task == task)
        gaps = ((state[:, None] - state[None, candidates]) ** 2).sum(-1)  # (N, candidates)
        twin = candidates[gaps.argmin(1)]  # (N,)
        both_valid = predictions.valid & predictions.valid[twin]
        apart[:, column] = distance(demonstrated, demonstrated[twin], both_valid)
        apart[predictions.demonstrated_task == task, column] = np.nan
    known = np.isfinite(apart)
    return np.where(known.any(1), np.where(known, apart, 0.0).sum(1) / np.maximum(known.sum(1), 1), np.nan)


def _compare(predictions: Predictions) -> _Comparison:
    moves = predictions.scale > 0
    unit = predictions.scale[moves]
    predicted = predictions.predicted[..., moves] / unit  # (N, K, T, A')
    demonstrated = predictions.demonstrated[..., moves] / unit  # (N, T, A')
    rows = np.arange(len(predictions.demonstrated_task))
    followed = predicted[rows, predictions.demonstrated_task]  # (N, T, A')
    valid = predictions.valid[:, None]  # (N, 1, T)
    return _Comparison(
        followed,
        demonstrated,
        distance(predicted, demonstrated[:, None], valid),
        distance(predicted, followed[:, None], valid),
        task_separation(predictions, demonstrated),
        tuple(name for name, is_used in zip(predictions.action_names, moves, strict=True) if is_used),
    )


def _figures(
    predictions: Predictions, comparison: _Comparison, thresholds: Thresholds, task: int
) -> TaskDiagnosis:
    """The figures of one task, without findings."""
    mine = predictions.demonstrated_task == task  # (N,)
    valid, name = predictions.valid[mine], predictions.tasks[task]
    followed, demonstrated = comparison.followed[mine], comparison.demonstrated[mine]  # (n, T, A')
    predicted_motion, demonstrated_motion = excursion(followed, valid), excursion(demonstrated, valid)  # (n,)
    is_moving = demonstrated_motion >= thresholds.motion
    is_idle = predicted_motion < thresholds.still * demonstrated_motion
    others = [k for k in range(len(predictions.tasks)) if k != task]
    distances = comparison.to_demonstration[mine]  # (n, K)
    misled = language = np.nan
    mistaken = np.zeros(len(predictions.tasks), np.int64)  # (K,)
    squared = ((followed - demonstrated) ** 2 * valid[..., None]).sum((0, 1))  # (A',)
    worst = int(squared.argmax())
    if others:
        is_nearer = distances[:, others].min(1) < (1 - thresholds.margin) * distances[:, task]
        # Where tasks begin alike, or the prediction is good, the nearest instruction is a matter of noise.
        is_off = distances[:, task] > thresholds.off * np.nan_to_num(comparison.separation[mine])
        is_misled = is_nearer & is_off  # (n,)
        misled = is_misled.mean()
        mistaken = np.bincount(distances[is_misled].argmin(1), minlength=len(predictions.tasks))
        change = comparison.to_followed[mine][:, others].mean(1).sum()
        language = _ratio(change, np.nansum(comparison.separation[mine]))
    return TaskDiagnosis(
        task=name,
        observations=int(mine.sum()),
        demonstrations=predictions.demonstrations.get(name, 0),
        frames=predictions.frames.get(name, 0),
        error=float(distances[:, task].mean()),
        worst_entry=comparison.names[worst],
        worst_share=float(squared[worst] / max(squared.sum(), 1e-12)),
        variance_ratio=_ratio(spread(followed, valid), spread(demonstrated, valid)),
        motion_ratio=_ratio(predicted_motion.sum(), demonstrated_motion.sum()),
        idle_fraction=float(is_idle[is_moving].mean()) if is_moving.any() else np.nan,
        misled_fraction=float(misled),
        mistaken_for=predictions.tasks[int(np.argmax(mistaken))] if mistaken.any() else None,
        language_ratio=float(language),
        nearest=_shares(distances.argmin(1), predictions.tasks),
    )


def _with_findings(figures: TaskDiagnosis, predictions: Predictions, thresholds: Thresholds) -> TaskDiagnosis:
    by_chance = (len(predictions.tasks) - 1) / len(predictions.tasks)
    most_frames = max(predictions.frames.values(), default=0)
    # Comparisons with NaN are false, so a figure that does not exist is no finding.
    is_other_task = figures.misled_fraction > thresholds.misled * by_chance
    rules = {
        Finding.COLLAPSED: figures.variance_ratio < thresholds.variance_ratio,
        Finding.IDLE: figures.idle_fraction > thresholds.idle,
        Finding.WRONG_TASK: is_other_task,
        Finding.LANGUAGE_BLIND: figures.language_ratio < thresholds.language,
        # Who does another task differs from this one's demonstrations in its own way.
        Finding.SCATTERED: figures.variance_ratio > thresholds.scattered and not is_other_task,
        Finding.FEW_DEMONSTRATIONS: figures.demonstrations < thresholds.few,
        Finding.UNDERREPRESENTED: figures.frames < thresholds.underrepresented * most_frames,
    }
    return dataclasses.replace(figures, findings=tuple(f for f, is_met in rules.items() if is_met))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if np.isfinite(whole) and whole > 1e-12 else float("nan")


def _shares(choices: NDArray[np.int64], tasks: Sequence[str]) -> dict[str, float]:
    counts = np.bincount(choices, minlength=len(tasks)) / len(choices)
    return {task: float(share) for task, share in zip(tasks, counts, strict=True)}
