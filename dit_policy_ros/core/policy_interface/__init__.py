# SPDX-License-Identifier: Apache-2.0
"""The policy as the robot side sees it, without torch.

Its protocol, whether it fits the robot and the available time, and detectors for idling and ignored tasks.
"""

from dit_policy_ros.core.policy_interface._compatibility import check_policy
from dit_policy_ros.core.policy_interface._familiarity import (
    UNKNOWN_TASKS,
    Familiarity,
    JudgesTasks,
    judge_task,
)
from dit_policy_ros.core.policy_interface._idle_detector import IdleDetector
from dit_policy_ros.core.policy_interface._named_policy import joint_actions, match_policy
from dit_policy_ros.core.policy_interface._policy import (
    BACKENDS,
    DTYPES,
    UNSEEN_STATES,
    Policy,
    PolicyFacts,
)
from dit_policy_ros.core.policy_interface._step_budget import StepBudget, fit_steps
from dit_policy_ros.core.policy_interface._task import check_task
from dit_policy_ros.core.policy_interface._task_reaction import TaskReaction
from dit_policy_ros.core.policy_interface._vectors import VectorInput

__all__ = [
    "BACKENDS",
    "DTYPES",
    "UNKNOWN_TASKS",
    "UNSEEN_STATES",
    "Familiarity",
    "IdleDetector",
    "JudgesTasks",
    "Policy",
    "PolicyFacts",
    "StepBudget",
    "TaskReaction",
    "VectorInput",
    "check_policy",
    "check_task",
    "fit_steps",
    "joint_actions",
    "judge_task",
    "match_policy",
]
