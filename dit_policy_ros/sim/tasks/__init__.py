# SPDX-License-Identifier: Apache-2.0
"""The task suite: what the robot can be asked for, and whether it was done.

Success is judged on the physics state alone.
"""

from dit_policy_ros.sim.tasks._judge import Judge, scene_state
from dit_policy_ros.sim.tasks._referee import Referee, TouchReport
from dit_policy_ros.sim.tasks._suite import (
    HandOver,
    Lift,
    Push,
    Task,
    find_task,
    first_arm,
    steps_within,
    suite,
)
from dit_policy_ros.sim.tasks._touch import Touch, demo_tasks, is_touching, touch_distance
from dit_policy_ros.sim.tasks._trial import Act, Outcome, move_for_period, run_trial

__all__ = [
    "Act",
    "HandOver",
    "Judge",
    "Lift",
    "Outcome",
    "Push",
    "Referee",
    "Task",
    "Touch",
    "TouchReport",
    "demo_tasks",
    "find_task",
    "first_arm",
    "is_touching",
    "move_for_period",
    "run_trial",
    "scene_state",
    "steps_within",
    "suite",
    "touch_distance",
]
