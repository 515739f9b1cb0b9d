# SPDX-License-Identifier: Apache-2.0
"""What an evaluation found: success by task with intervals, and what was done instead of what was asked."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from dit_policy_ros.sim.tasks import Outcome, Task

NOTHING = "(nothing)"


@dataclass(frozen=True, slots=True)
class TaskResult:
    """ci95: Wilson's interval of the success rate. wrong_rate: share of episodes in which another task was
    done and the asked one was not. seconds: median until success, None where there was none. holds,
    disagreements: of all episodes. jerk: median of the episodes' root mean squares [rad/s^3]."""

    instruction: str
    episodes: int
    successes: int
    success_rate: float
    ci95: tuple[float, float]
    wrong_rate: float
    seconds: float | None
    holds: int
    disagreements: int
    jerk: float | None


def wilson(successes: int, episodes: int) -> tuple[float, float]:
    """Wilson's 95% interval of a rate."""
    interval = binomtest(successes, episodes).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def by_task(outcomes: Iterable[Outcome]) -> list[TaskResult]:
    """One result per task, in the order in which they first occur."""
    groups: dict[Task, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.task, []).append(outcome)
    results = []
    for task, group in groups.items():
        done = [outcome for outcome in group if outcome.success]
        wrong = [outcome for outcome in group if outcome.instead]
        jerks = [outcome.jerk for outcome in group if outcome.jerk is not None]
        results.append(
            TaskResult(
                instruction=task.instruction,
                episodes=len(group),
                successes=len(done),
                success_rate=len(done) / len(group),
                ci95=wilson(len(done), len(group)),
                wrong_rate=len(wrong) / len(group),
                seconds=float(np.median([outcome.seconds for outcome in done])) if done else None,
                holds=sum(outcome.holds for outcome in group),
                disagreements=sum(outcome.disagreements for outcome in group),
                jerk=float(np.median(jerks)) if jerks else None,
            )
        )
    return results


def confusion(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """How often each instruction (outer) ended in each behaviour (inner).

    The behaviour is the instruction itself where it was carried out, else each other task that was done, else
    nothing; an episode in which two other tasks were done counts under both. Steps of the asked task, such as
    touching the cube that was to be lifted, are no other task.
    """
    matrix: dict[str, dict[str, int]] = {}
    for outcome in outcomes:
        asked = outcome.task.instruction
        row = matrix.setdefault(asked, {})
        for behaviour in (asked,) if outcome.success else outcome.instead or (NOTHING,):
            row[behaviour] = row.get(behaviour, 0) + 1
    return matrix


def summary(outcomes: Sequence[Outcome], **facts: Any) -> dict[str, Any]:
    """What summary.json holds."""
    results = by_task(outcomes)
    total = sum(result.successes for result in results)
    return {
        **facts,
        "episodes": len(outcomes),
        "success_rate": total / len(outcomes),
        "ci95": wilson(total, len(outcomes)),
        "wrong_rate": float(np.mean([bool(outcome.instead) for outcome in outcomes])),
        "hold_reasons": sorted({reason for o in outcomes for reason in o.hold_reasons}),
        "tasks": [asdict(result) for result in results],
        "confusion": confusion(outcomes),
    }


def markdown(results: Sequence[TaskResult]) -> str:
    """A table for people."""
    lines = [
        "| instruction | episodes | success | 95% interval | another task | time [s] | jerk | holds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        seconds = "" if r.seconds is None else f"{r.seconds:.1f}"
        jerk = "" if r.jerk is None else f"{r.jerk:.1f}"
        low, high = r.ci95
        lines.append(
            f"| {r.instruction} | {r.episodes} | {r.success_rate:.0%} | {low:.0%} to {high:.0%} | "
            f"{r.wrong_rate:.0%} | {seconds} | {jerk} | {r.holds} |"
        )
    return "\n".join(lines) + "\n"


def write(folder: Path, outcomes: Sequence[Outcome], **facts: Any) -> Path:
    """Write summary.json and table.md; returns the first one's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "summary.json"
    path.write_text(json.dumps(summary(outcomes, **facts), indent=2) + "\n")
    (folder / "table.md").write_text(markdown(by_task(outcomes)))
    return path
