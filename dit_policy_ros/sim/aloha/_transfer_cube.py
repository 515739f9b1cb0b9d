# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""The task of gym-aloha's ``AlohaTransferCube-v0``: its reward and where its cube begins.

Zhao et al. 2023 (ACT, arXiv 2304.13705, table I). ``scene_task: dit_policy_ros.sim.aloha:TransferCube``.
"""

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

INSTRUCTION = "transfer the cube from the right to the left arm"
TIME_LIMIT = 8.0  # [s] 400 steps at 50 Hz
MAX_REWARD = 4

_LOW, _HIGH = (0.0, 0.4, 0.05), (0.2, 0.6, 0.05)  # [m] of the cube
_CUBE, _JOINT, _TABLE = "red_box", "red_box_joint", "table"
_LEFT, _RIGHT = "vx300s_left/10_left_gripper_finger", "vx300s_right/10_right_gripper_finger"


def initial_cube(rng: np.random.Generator) -> NDArray[np.float64]:
    """Where the cube of a new scene is (3,) [m]; its edges are along the axes."""
    return rng.uniform(_LOW, _HIGH)


class TransferCube:
    """The right arm picks the cube up and hands it to the left arm."""

    instruction = INSTRUCTION

    def reset(self, model: Any, data: Any, rng: np.random.Generator) -> None:
        """Put the cube somewhere. The arms are at the keyframe, as in gym-aloha to 2 mm of a finger."""
        data.joint(_JOINT).qpos[:] = [*initial_cube(rng), 1.0, 0.0, 0.0, 0.0]
        data.joint(_JOINT).qvel[:] = 0.0

    def reward(self, model: Any, data: Any) -> int:
        """0; 1: the right gripper touches the cube; 2: and holds it up; 3: the left one touches it; 4: and
        it is in the air.
        """
        touched = {_touched(model, contact) for contact in data.contact}
        is_lifted = _TABLE not in touched
        if _LEFT in touched:
            return MAX_REWARD if is_lifted else 3
        if _RIGHT in touched:
            return 2 if is_lifted else 1
        return 0

    def success(self, model: Any, data: Any) -> bool:
        """Whether the reward is the highest now."""
        return self.reward(model, data) == MAX_REWARD


def _touched(model: Any, contact: Any) -> str:
    """The name of what the cube touches in a contact; empty if it is not the cube's."""
    names = [mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_GEOM, geom) or "" for geom in contact.geom]
    if _CUBE not in names:
        return ""
    return names[1 - names.index(_CUBE)]
