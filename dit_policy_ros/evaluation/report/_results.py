# SPDX-License-Identifier: Apache-2.0
"""Success rates by task with their intervals, and the confusion matrix of instruction and behaviour."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.sim.tasks import Outcome, Task

NOTHING = "(nothing)"


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The episodes of one task.

    Attributes:
        instruction: the task.
        episodes: how many there were.
        successes: how many succeeded.
        success_rate: 0 to 1.
        ci95: Wilson's 95% interval of the success rate.
        wrong_rate: share of the episodes in which another task was done and the asked one was not.
        seconds: median time until success [s]; None without a success.
        holds: of all episodes together.
        disagreements: of all episodes together.
        jerk: median over the episodes of their root mean squares [rad/s^3]; None if it was not measured.
    """

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


def wilson_interval(successes: int, episodes: int) -> tuple[float, float]:
    """Wilson's 95% interval of a success rate."""
    from scipy.stats import binomtest  # here, because it takes half a second

    interval = binomtest(successes, episodes).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def results_by_task(outcomes: Iterable[Outcome]) -> list[TaskResult]:
    """One result per task, in the order in which the tasks first occur."""
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
                ci95=wilson_interval(len(done), len(group)),
                wrong_rate=len(wrong) / len(group),
                seconds=float(np.median([outcome.seconds for outcome in done])) if done else None,
                holds=sum(outcome.holds for outcome in group),
                disagreements=sum(outcome.disagreements for outcome in group),
                jerk=float(np.median(jerks)) if jerks else None,
            )
        )
    return results


def confusion_matrix(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """How often each instruction (outer key) ended in each behaviour (inner key).

    The behaviour is the instruction itself if it was carried out, otherwise each other task that was done,
    otherwise ``NOTHING``. An episode in which two other tasks were done counts under both. A step of the
    asked task, such as touching the cube that was to be lifted, does not count as another task.
    """
    matrix: dict[str, dict[str, int]] = {}
    for outcome in outcomes:
        asked = outcome.task.instruction
        row = matrix.setdefault(asked, {})
        for behaviour in (asked,) if outcome.success else outcome.instead or (NOTHING,):
            row[behaviour] = row.get(behaviour, 0) + 1
    return matrix


def results_summary(outcomes: Sequence[Outcome], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The content of summary.json; ``facts`` say what was evaluated and are included unchanged."""
    results = results_by_task(outcomes)
    total = sum(result.successes for result in results)
    return {
        **facts,
        "episodes": len(outcomes),
        "success_rate": total / len(outcomes),
        "ci95": wilson_interval(total, len(outcomes)),
        "wrong_rate": float(np.mean([bool(outcome.instead) for outcome in outcomes])),
        "hold_reasons": sorted({reason for o in outcomes for reason in o.hold_reasons}),
        "tasks": [asdict(result) for result in results],
        "confusion": confusion_matrix(outcomes),
    }


def markdown_table(results: Sequence[TaskResult]) -> str:
    """The results as a Markdown table."""
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


def write_results(folder: Path, outcomes: Sequence[Outcome], facts: Mapping[str, Any]) -> Path:
    """Write summary.json and table.md; returns the path of summary.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "summary.json"
    path.write_text(json.dumps(results_summary(outcomes, facts), indent=2) + "\n")
    (folder / "table.md").write_text(markdown_table(results_by_task(outcomes)))
    return path
