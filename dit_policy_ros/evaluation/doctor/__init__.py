# SPDX-License-Identifier: Apache-2.0
"""Checks a machine and a robot before anything is started, each finding with its remedy."""

from dit_policy_ros.evaluation.doctor._doctor import DoctorSettings, examine
from dit_policy_ros.evaluation.doctor._findings import Finding, Level

__all__ = ["DoctorSettings", "Finding", "Level", "examine"]
