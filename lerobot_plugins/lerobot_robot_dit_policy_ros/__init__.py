# SPDX-License-Identifier: Apache-2.0
"""LeRobot's plugin with robots that a contract describes, type ``dit_policy_ros``.

LeRobot imports it by its name. That registers the options only: no ROS. docs/lerobot.md has the commands.
"""

import weakref
from typing import TYPE_CHECKING, Any

try:
    import lerobot  # noqa: F401 - only whether it is there
except ModuleNotFoundError as error:
    raise ImportError(
        "lerobot_robot_dit_policy_ros is a plugin of LeRobot, which is not installed: "
        "pip install -r requirements/train.txt"
    ) from error

from lerobot_robot_dit_policy_ros.config_dit_policy_ros import DitPolicyRosRobotConfig

if TYPE_CHECKING:
    from lerobot_robot_dit_policy_ros.dit_policy_ros_robot import DitPolicyRosRobot

__all__ = ["DitPolicyRosRobot", "DitPolicyRosRobotConfig", "execution_lead", "observed_time"]

_connected: "weakref.WeakSet[DitPolicyRosRobot]" = weakref.WeakSet()


def execution_lead() -> float:
    """From the newest observation of a robot to the execution of its next action [s]; 0 without a robot.

    A policy in the same process asks, because LeRobot's observations do not say it.
    """
    return max((each.robot.lead for each in _connected if each.is_connected), default=0.0)


def observed_time() -> float | None:
    """Time of a robot's newest observation by the robot's clock [s]; None without a robot.

    LeRobot's loop may be slower than it should, and the robot's time simulated.
    """
    times = [each.robot.observed for each in _connected if each.is_connected]
    return max((time for time in times if time is not None), default=None)


def announce(robot: "DitPolicyRosRobot") -> None:
    """Let ``execution_lead`` know of a robot that is connected."""
    _connected.add(robot)


def __getattr__(name: str) -> Any:
    """The robot's class, imported when LeRobot makes a robot."""
    if name != "DitPolicyRosRobot":
        raise AttributeError(name)
    from lerobot_robot_dit_policy_ros.dit_policy_ros_robot import DitPolicyRosRobot

    return DitPolicyRosRobot
