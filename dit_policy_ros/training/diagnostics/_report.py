# SPDX-License-Identifier: Apache-2.0
"""The result of diagnosing a policy on a dataset, and its files."""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.data.dataset import SampleReader
from dit_policy_ros.training.diagnostics._diagnosis import TaskDiagnosis, Thresholds
from dit_policy_ros.training.diagnostics._measures import diagnose
from dit_policy_ros.training.diagnostics._plot import write_plot
from dit_policy_ros.training.diagnostics._predictions import predict_samples

REPORT_FILE, PLOT_FILE = "diagnosis.json", "diagnosis.png"


@dataclass(frozen=True, slots=True)
class DiagnosisReport:
    """The diagnoses of all tasks."""

    tasks: tuple[TaskDiagnosis, ...]
    instructions: tuple[str, ...]  # all that were predicted under
    thresholds: Thresholds

    @property
    def passes(self) -> bool:
        """Whether the policy fails at no task."""
        return not any(task.is_failing for task in self.tasks)

    def write(self, folder: Path, checkpoint: str, dataset: str) -> tuple[Path, Path]:
        """Write ``diagnosis.json`` and ``diagnosis.png``; returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        figures, plot = folder / REPORT_FILE, folder / PLOT_FILE
        write_plot(plot, self.tasks, self.instructions, self.thresholds, f"{checkpoint} on {dataset}")
        content = {"checkpoint": checkpoint, "dataset": dataset, **self._to_mapping()}
        figures.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return figures, plot

    def _to_mapping(self) -> dict[str, object]:
        """As plain values; None for a figure that does not exist."""
        return {
            "passes": self.passes,
            "thresholds": dataclasses.asdict(self.thresholds),
            "tasks": [
                {
                    name: None if isinstance(value, float) and math.isnan(value) else value
                    for name, value in dataclasses.asdict(task).items()
                }
                | {"passes": not task.is_failing}
                for task in self.tasks
            ],
        }


def diagnose_policy(
    policy: Policy,
    reader: SampleReader,
    per_task: int,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> DiagnosisReport:
    """Predict at observations of a dataset and judge the predictions; arguments as in ``predict_samples``.

    Raises:
        DatasetError: a frame cannot be read, or no action ever changes.
    """
    thresholds = Thresholds()
    predictions = predict_samples(policy, reader, per_task, seed, report)
    return DiagnosisReport(diagnose(predictions, thresholds), predictions.tasks, thresholds)
