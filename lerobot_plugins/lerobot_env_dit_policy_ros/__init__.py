# SPDX-License-Identifier: Apache-2.0
"""LeRobot's plugin with the simulated scene as an environment, type ``dit_policy_ros``.

LeRobot imports it by its name. That registers the options only: no physics. docs/lerobot.md has the commands.
"""

from typing import Any

try:
    import lerobot  # noqa: F401 - only whether it is there
except ModuleNotFoundError as error:
    raise ImportError(
        "lerobot_env_dit_policy_ros is a plugin of LeRobot, which is not installed: "
        "pip install -r requirements/train.txt"
    ) from error

from lerobot_env_dit_policy_ros.config_dit_policy_ros import DitPolicyRosEnvConfig

__all__ = ["DitPolicyRosEnvConfig", "SceneEnv"]


def __getattr__(name: str) -> Any:
    """The environment's class, imported when LeRobot makes one."""
    if name != "SceneEnv":
        raise AttributeError(name)
    from lerobot_env_dit_policy_ros.scene_env import SceneEnv

    return SceneEnv
