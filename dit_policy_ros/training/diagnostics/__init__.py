# SPDX-License-Identifier: Apache-2.0
"""Finds out offline whether a policy stands still or does not follow its instruction.

Predictions at recorded observations -> figures -> findings with advice -> report and plot.
"""

from dit_policy_ros.training.diagnostics._diagnosis import ADVICE, Finding, TaskDiagnosis, Thresholds
from dit_policy_ros.training.diagnostics._measures import RESTING, diagnose
from dit_policy_ros.training.diagnostics._predictions import predict_samples
from dit_policy_ros.training.diagnostics._report import DiagnosisReport, diagnose_policy
from dit_policy_ros.training.diagnostics._samples import open_samples

__all__ = [
    "ADVICE",
    "RESTING",
    "DiagnosisReport",
    "Finding",
    "TaskDiagnosis",
    "Thresholds",
    "diagnose",
    "diagnose_policy",
    "open_samples",
    "predict_samples",
]
