# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""The joints between a robot's base and an end effector, and their inverse kinematics."""

from dataclasses import dataclass, replace
from typing import Any

import mujoco
import numpy as np

from dit_policy_ros.core.contract import Contract, Controller, ControllerType, Limits
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.core.poses import rotation_vector
from dit_policy_ros.core.problems import did_you_mean, listing

WORLD = "world"
_MOVABLE = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
_DAMPING = 0.02  # of least squares: near a singularity the arm goes slower, not faster


@dataclass(frozen=True, slots=True, eq=False)
class ArmChain:
    """The joints that move an end effector.

    joints: their names, (S,). coordinates, velocities: where they stand in qpos and qvel, (S,). low, high:
    their ranges, (S,) [rad or m]. frame, tool: names of the frame and the end effector in the model.
    """

    model: Any
    joints: tuple[str, ...]
    coordinates: np.ndarray
    velocities: np.ndarray
    low: np.ndarray
    high: np.ndarray
    frame: str
    tool: str

    def pose(self, data: Any, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The end effector in its frame: position (3,) [m] and rotation (3, 3), for joint values (S,).

        data: scratch of the model, whose joints are set.
        """
        data.qpos[self.coordinates] = joints
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_comPos(self.model, data)
        at, turn = _place(data, self.tool)
        base, axes = _base(data, self.frame)
        return axes.T @ (at - base), axes.T @ turn

    def step(
        self, data: Any, joints: np.ndarray, position: np.ndarray, matrix: np.ndarray, gain: float
    ) -> np.ndarray:
        """One step of damped least squares towards a pose: changes of the joints (S,).

        Args:
            data: scratch of the model.
            joints: (S,) now.
            position, matrix: the wanted pose in the frame, (3,) [m] and (3, 3).
            gain: share of the error that the step removes.
        """
        at, turn = self.pose(data, joints)
        _, axes = _base(data, self.frame)
        error = np.concatenate([axes @ (position - at), axes @ rotation_vector(matrix @ turn.T)])  # (6,)
        jacobian = np.zeros((6, self.model.nv))
        point, body = _place(data, self.tool)[0], _body(self.model, self.tool)
        mujoco.mj_jac(self.model, data, jacobian[:3], jacobian[3:], point, body)
        own = jacobian[:, self.velocities]  # (6, S)
        damped = own @ own.T + _DAMPING**2 * np.eye(6)
        return own.T @ np.linalg.solve(damped, gain * error)


def find_chain(model: Any, controller: Controller) -> ArmChain:
    """The joints of a pose-controlled arm: all hinges and slides from its end effector up to the world.

    Raises SimulationError: the model has not the contract's end effector or frame, no joint moves it, or its
    frame moves.
    """
    arm = controller.pose
    if arm is None:
        raise ValueError(f"{controller.name} takes no poses")
    sites = [model.site(i).name for i in range(model.nsite)]
    bodies = [model.body(i).name for i in range(model.nbody)]
    key = f"controllers.{controller.name}"
    if arm.end_effector not in [*sites, *bodies]:
        raise SimulationError(
            f"{key}.end_effector: expected a site or body of the MJCF, got '{arm.end_effector}'."
            f"{did_you_mean(arm.end_effector, [*sites, *bodies])} Its sites are: "
            f"{listing(filter(None, sites))}"
        )
    if arm.frame != WORLD and arm.frame not in [*sites, *bodies]:
        raise SimulationError(
            f"{key}.frame: expected '{WORLD}', or a site or body of the MJCF, got '{arm.frame}'."
            f"{did_you_mean(arm.frame, [*sites, *bodies])}"
        )
    if arm.frame != WORLD and (carried := _joints_above(model, arm.frame)):
        names = listing(model.joint(joint).name or "a joint without a name" for joint in carried)
        raise SimulationError(
            f"{key}.frame: expected '{WORLD}', or a part of the MJCF that does not move, but '{arm.frame}' "
            f"is moved by {names}, and targets in a frame that moves are not simulated"
        )
    found = _joints_above(model, arm.end_effector)
    if not found or any(int(model.jnt_type[joint]) not in _MOVABLE for joint in found):
        raise SimulationError(
            f"{key}.end_effector: expected a part of an arm with hinges and slides, but '{arm.end_effector}' "
            "hangs on none, or on a free or ball joint"
        )
    ranges = model.jnt_range[found]  # (S, 2)
    limited = model.jnt_limited[found].astype(bool)  # (S,)
    return ArmChain(
        model=model,
        joints=tuple(model.joint(joint).name for joint in found),
        coordinates=model.jnt_qposadr[found].astype(int),
        velocities=model.jnt_dofadr[found].astype(int),
        low=np.where(limited, ranges[:, 0], -np.inf),
        high=np.where(limited, ranges[:, 1], np.inf),
        frame=arm.frame,
        tool=arm.end_effector,
    )


def joint_contract(contract: Contract, model: Any) -> Contract:
    """The contract as a robot has it whose arms are controlled by joints: what a scene is bound to.

    The limits of an arm's joints are the model's ranges.

    Raises SimulationError: see ``find_chain``; or two controllers would move one joint.
    """
    if all(each.pose is None for each in contract.controllers):
        return contract
    own = contract.limits
    rows = np.stack([own.position_min, own.position_max, own.velocity, own.acceleration, own.jerk])  # (5, A)
    chains = {each.name: find_chain(model, each) for each in contract.controllers if each.pose is not None}
    first = {int(contract.indices(each)[0]): chains.get(each.name) for each in contract.controllers}
    coordinates = {
        i for each in contract.controllers if each.pose is not None for i in contract.indices(each)
    }
    joints: list[str] = []
    limits: list[np.ndarray] = []  # (5,) each
    prismatic: list[bool] = []
    for index, name in enumerate(contract.joints):
        chain = first.get(index)
        if chain is not None:
            joints += chain.joints
            limits += [
                np.array([*edges, 1.0, 1.0, np.inf]) for edges in zip(chain.low, chain.high, strict=True)
            ]
            kinds = [int(model.jnt_type[model.joint(joint).id]) for joint in chain.joints]
            prismatic += [kind == int(mujoco.mjtJoint.mjJNT_SLIDE) for kind in kinds]
        elif index not in coordinates:
            joints.append(name)
            limits.append(rows[:, index])
            prismatic.append(bool(own.prismatic[index]))
    if shared := sorted({name for name in joints if joints.count(name) > 1}):
        raise SimulationError(
            f"controllers: expected arms with joints of their own, but {listing(shared)} is moved by "
            f"several: a pose-controlled arm has all joints from its end_effector up to the world. Such a "
            f"robot cannot be simulated"
        )
    kind = ControllerType.JOINT_TRAJECTORY
    return replace(
        contract,
        joints=tuple(joints),
        controllers=tuple(
            Controller(each.name, kind, chains[each.name].joints) if each.name in chains else each
            for each in contract.controllers
        ),
        limits=Limits(*np.array(limits).reshape(-1, 5).T, prismatic=np.array(prismatic, dtype=bool)),
        robot_names=(),
        rest_pose=(),
    )


def _joints_above(model: Any, name: str) -> list[int]:
    """The joints that move a site or body, from the world on."""
    found: list[int] = []
    body = _body(model, name)
    while body > 0:
        first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
        found = [*range(first, first + count), *found]
        body = int(model.body_parentid[body])
    return found


def _base(data: Any, frame: str) -> tuple[np.ndarray, np.ndarray]:
    return (np.zeros(3), np.eye(3)) if frame == WORLD else _place(data, frame)


def _place(data: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Position (3,) and rotation (3, 3) of a site or body in the world."""
    site = mujoco.mj_name2id(data.model, mujoco.mjtObj.mjOBJ_SITE, name)
    part = data.site(site) if site >= 0 else data.body(name)
    return part.xpos.copy(), part.xmat.reshape(3, 3).copy()


def _body(model: Any, name: str) -> int:
    """The body that a site is on, or the body itself."""
    site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, name)
    return int(model.site_bodyid[site]) if site >= 0 else int(model.body(name).id)
