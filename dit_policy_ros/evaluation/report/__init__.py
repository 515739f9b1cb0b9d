# SPDX-License-Identifier: Apache-2.0
"""The results of an evaluation: episode log, success rates, plots, pictures and videos."""

from dit_policy_ros.evaluation.report._episode_film import FILM_CAMERA, EpisodeFilm
from dit_policy_ros.evaluation.report._episode_log import EpisodeLog
from dit_policy_ros.evaluation.report._frame_sheet import FrameSheet
from dit_policy_ros.evaluation.report._plots import plot_confusion, plot_success
from dit_policy_ros.evaluation.report._results import (
    TaskResult,
    confusion_matrix,
    results_by_task,
    wilson_interval,
    write_results,
)
from dit_policy_ros.evaluation.report._tables import confusion_lines, results_table, suite_facts, suite_table
from dit_policy_ros.evaluation.report._video import CaptionedVideo

__all__ = [
    "FILM_CAMERA",
    "CaptionedVideo",
    "EpisodeFilm",
    "EpisodeLog",
    "FrameSheet",
    "TaskResult",
    "confusion_lines",
    "confusion_matrix",
    "plot_confusion",
    "plot_success",
    "results_by_task",
    "results_table",
    "suite_facts",
    "suite_table",
    "wilson_interval",
    "write_results",
]
