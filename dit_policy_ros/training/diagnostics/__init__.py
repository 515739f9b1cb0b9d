# SPDX-License-Identifier: Apache-2.0
"""Recognises a policy that stands still or does not follow its instruction.

Evidence -> measures -> findings with advice -> a picture.
"""

from dit_policy_ros.training.diagnostics._diagnosis import ADVICE, TaskDiagnosis, Thresholds
from dit_policy_ros.training.diagnostics._evidence import gather, open_samples
from dit_policy_ros.training.diagnostics._measures import diagnose
from dit_policy_ros.training.diagnostics._plot import write_plot

__all__ = ["ADVICE", "TaskDiagnosis", "Thresholds", "diagnose", "gather", "open_samples", "write_plot"]
