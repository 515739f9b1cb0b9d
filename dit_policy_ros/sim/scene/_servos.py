# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""The position servos of a model: which joints an actuator moves, and the control that holds a position."""

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco

from dit_policy_ros.sim.robot import Model
from dit_policy_ros.sim.scene._couplings import Follows

_JOINT_TRANSMISSIONS = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
_DIRECT = (  # the activation, if there is one, only delays the control
    int(mujoco.mjtDyn.mjDYN_NONE),
    int(mujoco.mjtDyn.mjDYN_FILTER),
    int(mujoco.mjtDyn.mjDYN_FILTEREXACT),
)


@dataclass(frozen=True, slots=True)
class Servo:
    """An actuator, by index, and its control that holds a joint: ``gain * joint + offset``."""

    actuator: int
    gain: float
    offset: float


def actuator_name(model: Model, actuator: int) -> str:
    """The actuator's name, or its number if it has none."""
    return f"'{model.actuator(actuator).name}'" if model.actuator(actuator).name else f"number {actuator}"


def moved_joints(model: Model, actuator: int) -> dict[int, float]:
    """The joints that an actuator pulls at, by index, with the share of each in its length.

    Empty for other transmissions than joints and fixed tendons.
    """
    target = int(model.actuator_trnid[actuator, 0])
    if model.actuator_trntype[actuator] in _JOINT_TRANSMISSIONS:
        return {target: 1.0}
    if model.actuator_trntype[actuator] != mujoco.mjtTrn.mjTRN_TENDON:
        return {}
    first = int(model.tendon_adr[target])
    parts = range(first, first + int(model.tendon_num[target]))
    if any(model.wrap_type[i] != mujoco.mjtWrap.mjWRAP_JOINT for i in parts):
        return {}
    return {int(model.wrap_objid[i]): float(model.wrap_prm[i]) for i in parts}


def unusable(model: Model, actuator: int) -> str:
    """Why an actuator cannot hold a position that it is told; empty if it can."""
    stiffness, damping = model.actuator_biasprm[actuator, 1:3]
    if model.actuator_dyntype[actuator] not in _DIRECT:
        return "it integrates its control, or is a muscle"
    if model.actuator_gaintype[actuator] != mujoco.mjtGain.mjGAIN_FIXED:
        return "its gain is not fixed"
    if model.actuator_gainprm[actuator, 0] == 0.0:
        return "its gain is 0"
    if model.actuator_gear[actuator, 0] == 0.0:
        return "its gear is 0"
    if model.actuator_biastype[actuator] != mujoco.mjtBias.mjBIAS_AFFINE:
        return "its control is a force (a motor)"
    if stiffness < 0.0:
        return ""
    return "its control is a velocity" if damping < 0.0 else "its control is a force (a motor)"


def servo(model: Model, actuator: int, laws: Mapping[int, Follows]) -> Servo:
    """The control of a usable actuator that holds a joint.

    laws: by index, all joints that the actuator moves, by that joint's position.
    """
    length = Follows(0.0, 0.0)
    for joint, share in moved_joints(model, actuator).items():
        law = laws[joint]
        length = Follows(length.gain + share * law.gain, length.offset + share * law.offset)
    gear = float(model.actuator_gear[actuator, 0])
    constant, stiffness = (float(value) for value in model.actuator_biasprm[actuator, :2])
    # In balance: gain * control + constant + stiffness * gear * length = 0.
    gain = float(model.actuator_gainprm[actuator, 0])
    slope = -stiffness / gain * gear
    return Servo(actuator, slope * length.gain, slope * length.offset - constant / gain)
