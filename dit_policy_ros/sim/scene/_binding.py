# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Matches a robot contract to a model: joints, servos, cameras, home pose. What does not fit is refused."""

from dataclasses import dataclass

import mujoco
import numpy as np

from dit_policy_ros.core.contract import Contract, JointMapping, parse_mapping
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.core.problems import Problems, did_you_mean, listing
from dit_policy_ros.sim.robot import Drive, LinearMap, Model
from dit_policy_ros.sim.scene._couplings import Couplings, Follows, couplings, followers, joint_names
from dit_policy_ros.sim.scene._home import home_pose
from dit_policy_ros.sim.scene._servos import Servo, actuator_name, moved_joints, servo, unusable

_SERVO_REMEDY = 'use <position joint=... kp=... dampratio="1"/>'
_TOLERANCE = 1e-3  # [rad], [m] by which limits may differ without a word
_MOVABLE = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


@dataclass(frozen=True, slots=True)
class SceneNames:
    """What things are called in a model, where they have not the contract's names. Parameters of sim_node.

    scene: as `load_model` takes it. joints: "JOINT = NAME * SCALE + OFFSET" each, for values of the contract.
    mimics: "NAME = NAME * SCALE + OFFSET" each, joints of the model that follow another. cameras: "CAMERA =
    NAME" each. home: name of the keyframe to begin at; empty: "home", or the only one, or the reference pose.
    """

    scene: str
    joints: tuple[str, ...] = ()
    mimics: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    home: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """A contract's robot in a model.

    cameras: the model's names by the contract's. home: all coordinates (nq,) and controls (nu,) to begin at.
    notes: what a user should know, a sentence each.
    """

    drive: Drive
    cameras: dict[str, str]
    home: tuple[np.ndarray, np.ndarray]
    notes: tuple[str, ...]


def bind(model: Model, contract: Contract, names: SceneNames) -> Binding:
    """Match a contract to a model.

    Raises:
        SimulationError: lists all that does not fit, with its remedy.
        ParameterError: a mapping is written wrongly.
    """
    mapping = parse_mapping(names.joints, contract.joints, "scene_joints")
    mimics = parse_mapping(names.mimics, joint_names(model), "scene_mimics")
    problems = Problems(f"scene {names.scene}")
    notes: list[str] = []
    joints = _joints(model, contract, mapping, problems)
    _check_sources(model, mimics, problems)
    cameras = _cameras(model, contract, names, problems)
    home = home_pose(model, names.home, problems)
    drive = None
    if None not in joints and not len(problems):
        found = [joint for joint in joints if joint is not None]
        drive = _drive(model, contract, mapping, found, couplings(model, mimics), problems)
    problems.raise_if_any(SimulationError, "The contract does not fit the scene")
    if drive is None or home is None:
        raise ValueError("a problem without a message")
    notes += _notes(model, contract, drive, home[0])
    return Binding(drive, cameras, home, tuple(notes))


def _joints(model: Model, contract: Contract, mapping: JointMapping, problems: Problems) -> list[int | None]:
    """The model's joint of each joint of the contract, by index; None where it has none."""
    valid = joint_names(model)
    found: list[int | None] = []
    for k, (joint, name) in enumerate(zip(contract.joints, mapping.sources, strict=True)):
        index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name)
        found.append(None if index < 0 else index)
        if index < 0:
            problems.add_line(
                f"joint '{joint}': the MJCF has no joint '{name}'.{did_you_mean(name, valid)} Say which "
                f"one it is with scene_joints: ['{joint} = NAME']"
            )
        elif model.jnt_type[index] not in _MOVABLE:
            problems.add_line(
                f"joint '{joint}': '{name}' is a ball or free joint; only hinges and slides can be commanded"
            )
        elif index in found[:-1]:
            other = contract.joints[found.index(index)]
            problems.add_line(
                f"joint '{joint}': '{name}' is already the joint '{other}'; correct scene_joints"
            )
        else:
            _check_unit(model, contract, k, index, problems)
        if mapping.scale[k] == 0.0:
            problems.add_line(f"joint '{joint}': scene_joints gives it the scale 0; expected another number")
    if None in found:
        problems.add_line(f"the joints of the MJCF are: {listing(valid)}")
    return found


def _check_unit(model: Model, contract: Contract, k: int, index: int, problems: Problems) -> None:
    """A slide is measured in m, and the contract must say so; a gripper's unit is its own affair."""
    slides = model.jnt_type[index] == mujoco.mjtJoint.mjJNT_SLIDE
    if not contract.gripper_mask[k] and bool(contract.limits.prismatic[k]) != slides:
        joint = contract.joints[k]
        moves, wanted = ("slides", "true") if slides else ("turns", "false")
        problems.add_line(
            f"joint '{joint}': it {moves} in the MJCF; set limits.{joint}.prismatic: {wanted} in the "
            "contract, or name another joint in scene_joints"
        )


def _check_sources(model: Model, mimics: JointMapping, problems: Problems) -> None:
    valid = joint_names(model)
    for name, source in zip(valid, mimics.sources, strict=True):
        if source not in valid:
            problems.add_line(
                f"scene_mimics: '{name}' shall follow '{source}', which is no joint of the MJCF."
                f"{did_you_mean(source, valid)}"
            )


def _cameras(model: Model, contract: Contract, names: SceneNames, problems: Problems) -> dict[str, str]:
    """The model's cameras by the contract's names."""
    mapping = parse_mapping(names.cameras, contract.camera_names, "scene_cameras")
    valid = [model.camera(i).name for i in range(model.ncam)]
    found = dict(zip(contract.camera_names, mapping.sources, strict=True))
    for camera, name in found.items():
        if name not in valid:
            problems.add_line(
                f"camera '{camera}': the MJCF has no camera '{name}'.{did_you_mean(name, valid)} Say which "
                f"one it is with scene_cameras: ['{camera} = NAME'], or add <camera name=\"{name}\" .../> to "
                f"the MJCF; it has: {listing(valid)}"
            )
    return found


def _drive(
    model: Model,
    contract: Contract,
    mapping: JointMapping,
    joints: list[int],
    links: Couplings,
    problems: Problems,
) -> Drive:
    gain, offset = (
        1.0 / mapping.scale,
        -mapping.offset / mapping.scale,
    )  # (A,): from the contract to the model
    servos: list[tuple[int, Servo]] = []  # with the index of the joint in the contract
    moved: list[tuple[int, int, Follows]] = []  # that index, the follower's in the model, and its law
    for k, joint in enumerate(joints):
        laws = {each: law for each, law in followers(joint, links).items() if each not in joints}
        servos += [(k, each) for each in _servos(model, contract.joints[k], joint, laws, problems)]
        moved += [(k, each, law) for each, law in laws.items()]
    order = np.array([k for k, _ in servos], dtype=int)
    led = np.array([k for k, _, _ in moved], dtype=int)
    per_servo = np.array([(s.actuator, s.gain, s.offset) for _, s in servos]).reshape(-1, 3).T
    per_follower = np.array([(model.jnt_qposadr[j], law.gain, law.offset) for _, j, law in moved])
    per_follower = per_follower.reshape(-1, 3).T
    everything = np.arange(len(joints))
    return Drive(
        joints=contract.joints,
        coordinates=LinearMap(model.jnt_qposadr[joints].astype(int), everything, gain, offset),
        velocities=model.jnt_dofadr[joints].astype(int),
        servos=_map(per_servo, order, gain, offset),
        followers=_map(per_follower, led, gain, offset),
    )


def _map(columns: np.ndarray, joint: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> LinearMap:
    """Chains target = a * position + b with position = gain * value + offset. columns: (3, M) index, a, b."""
    index, slope, constant = columns
    return LinearMap(index.astype(int), joint, slope * gain[joint], slope * offset[joint] + constant)


def _servos(model: Model, name: str, joint: int, laws: dict[int, Follows], problems: Problems) -> list[Servo]:
    """The servos of a joint and of its followers. What cannot be commanded is a problem."""
    laws = {joint: Follows(), **laws}
    found: list[Servo] = []
    owners: dict[int, list[str]] = {each: [] for each in laws}
    for actuator in range(model.nu):
        pulled = moved_joints(model, actuator)
        if not set(pulled) & set(laws):
            continue
        label = actuator_name(model, actuator)
        for each in set(pulled) & set(laws):
            owners[each].append(label)
        if strangers := [model.joint(each).name for each in pulled if each not in laws]:
            problems.add_line(
                f"joint '{name}': the actuator {label} also moves {listing(strangers)}. Say how these "
                f"follow it with scene_mimics: ['{strangers[0]} = {model.joint(joint).name}'], or couple "
                "them by <equality>"
            )
        elif reason := unusable(model, actuator):
            problems.add_line(
                f"joint '{name}': the actuator {label} cannot hold a position: {reason}. In the "
                f"MJCF {_SERVO_REMEDY}"
            )
        else:
            found.append(servo(model, actuator, laws))
    for each, labels in owners.items():
        if len(labels) > 1:
            moved = model.joint(each).name
            problems.add_line(
                f"joint '{name}': {len(labels)} actuators move '{moved}': {listing(labels)}. Keep one of "
                "them in the MJCF, a position servo"
            )
    if not any(owners.values()):
        problems.add_line(
            f"joint '{name}': no actuator moves '{model.joint(joint).name}'. Add one to the MJCF: "
            f"{_SERVO_REMEDY}"
        )
    return found


def _notes(model: Model, contract: Contract, drive: Drive, home: np.ndarray) -> list[str]:
    """Where the contract allows more than the model can do, and a home that it does not allow."""
    limits, to_model = contract.limits, drive.coordinates
    bounds = np.array([limits.position_min, limits.position_max])  # (2, A)
    begin = (home[to_model.index] - to_model.offset) / to_model.gain  # (A,)
    notes = []
    for k, joint in enumerate(contract.joints):
        if not bounds[0, k] - _TOLERANCE <= begin[k] <= bounds[1, k] + _TOLERANCE:
            notes.append(
                f"joint '{joint}' begins at {begin[k]:.4g}, outside the contract's limits: no policy can "
                "start there. Choose another keyframe with home_keyframe"
            )
        index = int(np.flatnonzero(model.jnt_qposadr == to_model.index[k])[0])
        if limits.continuous[k]:
            continue
        values = np.sort(bounds[:, k] * to_model.gain[k] + to_model.offset[k])
        if model.jnt_limited[index] and _exceeds(values, *model.jnt_range[index]):
            low, high = model.jnt_range[index]
            notes.append(
                f"joint '{joint}' moves from {low:.4g} to {high:.4g} in the scene, less than the contract's "
                "limits"
            )
    for actuator, k, gain, offset in zip(
        drive.servos.index, drive.servos.joint, drive.servos.gain, drive.servos.offset, strict=True
    ):
        controls = np.sort(bounds[:, k] * gain + offset)
        if model.actuator_ctrllimited[actuator] and _exceeds(controls, *model.actuator_ctrlrange[actuator]):
            low, high = (np.sort((model.actuator_ctrlrange[actuator] - offset) / gain)).tolist()
            label = actuator_name(model, actuator)
            notes.append(
                f"joint '{contract.joints[k]}': the control of {label} ends at {low:.4g} "
                f"and {high:.4g} (ctrlrange), less than the contract's limits"
            )
    return notes


def _exceeds(values: np.ndarray, low: float, high: float) -> bool:
    """Whether the values (2,) reach beyond a range, by more than rounding."""
    margin = max(_TOLERANCE, 1e-3 * (high - low))
    return bool(values[0] < low - margin or values[1] > high + margin)
