# SPDX-License-Identifier: Apache-2.0
"""LeRobot's plugin with teleoperators of the ROS graph, type ``dit_policy_ros``.

LeRobot imports it by its name. That registers the options only: no ROS. docs/lerobot.md has the commands.
"""

from typing import Any

try:
    import lerobot  # noqa: F401 - only whether it is there
except ModuleNotFoundError as error:
    raise ImportError(
        "lerobot_teleoperator_dit_policy_ros is a plugin of LeRobot, which is not installed: "
        "pip install -r requirements/train.txt"
    ) from error

from lerobot_teleoperator_dit_policy_ros.config_dit_policy_ros import DitPolicyRosTeleoperatorConfig

__all__ = ["DitPolicyRosTeleoperator", "DitPolicyRosTeleoperatorConfig"]


def __getattr__(name: str) -> Any:
    """The teleoperator's class, imported when LeRobot makes one."""
    if name != "DitPolicyRosTeleoperator":
        raise AttributeError(name)
    from lerobot_teleoperator_dit_policy_ros.dit_policy_ros_teleoperator import DitPolicyRosTeleoperator

    return DitPolicyRosTeleoperator
