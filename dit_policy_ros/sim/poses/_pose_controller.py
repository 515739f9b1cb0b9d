# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""A model of cartesian_motion_controller: it moves an arm's joints towards the target pose.

As the real one it has no queue: a message is the target from its arrival on, and is followed as fast as the
joints allow, however far away it is. Targets in another frame, or with NaN, are dropped; so are all while it
is inactive.
"""

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from dit_policy_ros.core.contract import Contract, JointMapping
from dit_policy_ros.core.poses import matrix_from_quaternion
from dit_policy_ros.sim.controllers import Controlled
from dit_policy_ros.sim.poses._arm_chain import ArmChain, find_chain

_GAIN = 0.3  # share of the error that one update removes
_FASTEST = 4.0  # [rad/s or m/s] of a joint


class PoseController:
    """One controller and the joints of its arm, (S,).

    accept() may be called from another thread than update(): the next update uses the newest target.
    """

    def __init__(self, name: str, chain: ArmChain, frame: str, *, period_ns: int) -> None:
        """frame: in which targets must be."""
        self.name, self.joints, self.chain = name, chain.joints, chain
        self._frame, self._step = frame, _FASTEST * period_ns * 1e-9
        self._data = mujoco.MjData(chain.model)  # scratch
        self.accepted = self.rejected = 0
        self._is_active = True
        self.reset(np.zeros(len(chain.joints)))

    def reset(self, positions: np.ndarray) -> None:
        """Forgets the target and holds positions (S,)."""
        self._command = np.array(positions, dtype=float)  # (S,)
        self._target: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def command(self) -> np.ndarray:
        """The last command (S,) [rad or m]; a copy."""
        return self._command.copy()

    @property
    def broken_joints(self) -> tuple[str, ...]:
        """Joints whose command has become NaN: none, because it drops such targets."""
        return ()

    @property
    def is_active(self) -> bool:
        """Whether it moves the arm and publishes its pose."""
        return self._is_active

    def deactivate(self) -> None:
        """Drop targets from now on; the joints keep the last command."""
        self._is_active, self._target = False, None

    def activate(self, positions: np.ndarray) -> None:
        """Start again where the arm is, positions (S,)."""
        self.reset(positions)
        self._is_active = True

    def accept(self, frame: str, position: np.ndarray, quaternion: np.ndarray) -> str | None:
        """Takes a target (3,) [m], (4,) and returns None, or returns why it is dropped."""
        if not self._is_active:
            return None
        reason = None
        if frame != self._frame:
            reason = f"a target in frame '{frame}' instead of '{self._frame}'"
        elif not (np.isfinite(position).all() and np.isfinite(quaternion).all()):
            reason = "a target with NaN"
        elif abs(np.linalg.norm(quaternion) - 1.0) > 1e-2:
            reason = "an orientation that is no unit quaternion"
        if reason is not None:
            self.rejected += 1
            return reason
        self.accepted += 1
        self._target = position, matrix_from_quaternion(quaternion)
        return None

    def update(self, now_ns: int, positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """Returns the command (S,) for the coming period; a copy. The arguments are those of its kind."""
        if (target := self._target) is not None:
            change = self.chain.step(self._data, self._command, *target, _GAIN)  # (S,)
            change *= min(1.0, self._step / max(float(np.abs(change).max()), 1e-12))
            self._command = np.clip(self._command + change, self.chain.low, self.chain.high)
        return self._command.copy()

    def pose(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and rotation (3, 3) of the end effector for joint values (S,), in the frame."""
        return self.chain.pose(self._data, positions)


def pose_controllers(contract: Contract, model: Any, step_ns: int) -> Mapping[str, Controlled]:
    """Models of a contract's controllers of poses, by name. Raises SimulationError."""
    made: dict[str, Controlled] = {}
    for each in contract.controllers:
        if each.pose is not None:
            chain = find_chain(model, each)
            count = len(chain.joints)
            mapping = JointMapping(chain.joints, np.ones(count), np.zeros(count))
            controller = PoseController(each.name, chain, each.pose.frame, period_ns=step_ns)
            made[each.name] = Controlled(controller, chain.joints, mapping)
    return made
