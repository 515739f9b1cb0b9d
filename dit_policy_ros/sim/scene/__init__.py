# SPDX-License-Identifier: Apache-2.0
"""The robot of any contract in any MJCF, with an optional task. No ROS."""

from dit_policy_ros.sim.scene._binding import Binding, SceneNames, bind
from dit_policy_ros.sim.scene._load import load_model
from dit_policy_ros.sim.scene._ready import READY
from dit_policy_ros.sim.scene._scene_robot import SceneRobot
from dit_policy_ros.sim.scene._task import SceneReferee, SceneTask, load_task

__all__ = [
    "READY",
    "Binding",
    "SceneNames",
    "SceneReferee",
    "SceneRobot",
    "SceneTask",
    "bind",
    "load_model",
    "load_task",
]
