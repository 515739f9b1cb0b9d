# SPDX-License-Identifier: Apache-2.0
"""What the motion side knows of a policy: its protocol, its tasks, and whether it fits the robot.

Nothing of torch is here.
"""

from dit_policy_ros.core.policy._compatibility import check_policy
from dit_policy_ros.core.policy._idle import IdleWatch
from dit_policy_ros.core.policy._protocol import BACKENDS, DTYPES, Policy
from dit_policy_ros.core.policy._step_budget import StepBudget, fit_steps
from dit_policy_ros.core.policy._task import check_task
from dit_policy_ros.core.policy._task_reaction import TaskReaction

__all__ = [
    "BACKENDS",
    "DTYPES",
    "IdleWatch",
    "Policy",
    "StepBudget",
    "TaskReaction",
    "check_policy",
    "check_task",
    "fit_steps",
]
