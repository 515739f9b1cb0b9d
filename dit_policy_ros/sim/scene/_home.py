# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Where a scene begins: a keyframe of the model, or its reference pose."""

import mujoco
import numpy as np

from dit_policy_ros.core.problems import Problems, listing
from dit_policy_ros.sim.robot import Model
from dit_policy_ros.sim.scene._couplings import Follows
from dit_policy_ros.sim.scene._servos import moved_joints, servo, unusable

_USUAL = "home"


def home_pose(model: Model, keyframe: str, problems: Problems) -> tuple[np.ndarray, np.ndarray] | None:
    """All coordinates (nq,) and controls (nu,) of the first instant.

    Args:
        keyframe: its name; empty: the one called "home", or the only one, or the reference pose.
        problems: gets a line if there is no such keyframe; None is returned then.
    """
    names = [model.key(i).name for i in range(model.nkey)]
    if keyframe and keyframe not in names:
        problems.add_line(
            f"home_keyframe: the MJCF has no keyframe '{keyframe}'; it has: {listing(map(repr, names))}. "
            "Name one of them, or leave home_keyframe empty"
        )
        return None
    if keyframe:
        index = names.index(keyframe)
    elif _USUAL in names:
        index = names.index(_USUAL)
    else:
        index = 0 if len(names) == 1 else None
    pose = model.qpos0.copy() if index is None else model.key_qpos[index].copy()  # (nq,)
    controls = np.zeros(model.nu) if index is None else model.key_ctrl[index].copy()  # (nu,)
    return pose, controls if controls.any() else _holding(model, pose)


def _holding(model: Model, pose: np.ndarray) -> np.ndarray:
    """Controls (nu,) by which position servos hold a pose (nq,); 0 for other actuators."""
    controls = np.zeros(model.nu)
    for actuator in range(model.nu):
        joints = moved_joints(model, actuator)
        hinges = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
        if joints and not unusable(model, actuator) and all(model.jnt_type[j] in hinges for j in joints):
            held = {j: Follows(0.0, float(pose[model.jnt_qposadr[j]])) for j in joints}
            controls[actuator] = servo(model, actuator, held).offset
    return controls
