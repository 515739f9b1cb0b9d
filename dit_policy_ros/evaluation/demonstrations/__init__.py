# SPDX-License-Identifier: Apache-2.0
"""Records demonstrations by the scripted operator into a dataset, over ROS or in lock-step."""

from dit_policy_ros.evaluation.demonstrations._corrections import (
    CorrectedRun,
    lockstep_corrections,
)
from dit_policy_ros.evaluation.demonstrations._demonstration import (
    Demonstration,
    DemonstrationSettings,
    repeat_until_kept,
)
from dit_policy_ros.evaluation.demonstrations._lockstep import lockstep_demonstrations
from dit_policy_ros.evaluation.demonstrations._over_ros import ros_demonstrations
from dit_policy_ros.evaluation.demonstrations._table import (
    correction_facts,
    correction_table,
    demonstration_facts,
    demonstration_table,
)

__all__ = [
    "CorrectedRun",
    "Demonstration",
    "DemonstrationSettings",
    "correction_facts",
    "correction_table",
    "demonstration_facts",
    "demonstration_table",
    "lockstep_corrections",
    "lockstep_demonstrations",
    "repeat_until_kept",
    "ros_demonstrations",
]
