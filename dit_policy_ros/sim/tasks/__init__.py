# SPDX-License-Identifier: Apache-2.0
"""The task suite: what the robot can be asked for, and whether it was done.

Success is judged on the physics state alone.
"""

from dit_policy_ros.sim.tasks._cube_tasks import Touch, demo_tasks, distance, success
from dit_policy_ros.sim.tasks._judge import Judge, look
from dit_policy_ros.sim.tasks._referee import Referee, Verdict
from dit_policy_ros.sim.tasks._suite import HandOver, Lift, Push, Task, find, first_arm, on_the_way, suite
from dit_policy_ros.sim.tasks._trial import Act, Outcome, carry_out, through_period

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
    "Verdict",
    "carry_out",
    "demo_tasks",
    "distance",
    "find",
    "first_arm",
    "look",
    "on_the_way",
    "success",
    "suite",
    "through_period",
]
