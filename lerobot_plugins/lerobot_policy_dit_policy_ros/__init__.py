# SPDX-License-Identifier: Apache-2.0
"""LeRobot's plugin with our policy type ``dit_policy_ros``. LeRobot imports it by its name.

Importing it registers the options only: no network, no ROS. docs/lerobot.md has the commands.
"""

try:
    import lerobot  # noqa: F401 - only whether it is there
except ModuleNotFoundError as error:
    raise ImportError(
        "lerobot_policy_dit_policy_ros is a plugin of LeRobot, which is not installed: "
        "pip install -r requirements/train.txt"
    ) from error

from lerobot_policy_dit_policy_ros.configuration_dit_policy_ros import DitPolicyRosConfig

__all__ = ["DitPolicyRosConfig"]
