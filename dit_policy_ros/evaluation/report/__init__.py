# SPDX-License-Identifier: Apache-2.0
"""What an evaluation found: results, log, plots, picture sheets and videos."""

from dit_policy_ros.evaluation.report._film import CAMERA, EpisodeFilm
from dit_policy_ros.evaluation.report._log import EpisodeLog
from dit_policy_ros.evaluation.report._plot import plot_confusion, plot_success
from dit_policy_ros.evaluation.report._results import TaskResult, by_task, confusion, write
from dit_policy_ros.evaluation.report._sheet import TaskSheet
from dit_policy_ros.evaluation.report._video import DemoVideo

__all__ = [
    "CAMERA",
    "DemoVideo",
    "EpisodeFilm",
    "EpisodeLog",
    "TaskResult",
    "TaskSheet",
    "by_task",
    "confusion",
    "plot_confusion",
    "plot_success",
    "write",
]
