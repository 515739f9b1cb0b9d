# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""A MuJoCo model with models of ros2_control's controllers: what every simulated robot has."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

import mujoco
import numpy as np

from dit_policy_ros.sim.controllers import Controlled
from dit_policy_ros.sim.robot._drive import Drive
from dit_policy_ros.sim.robot._renderer import Model, Renderer
from dit_policy_ros.sim.servos import CommandDelay


class SimulatedRobot(ABC):
    """Physics, cameras and controllers of a robot with A joints.

    Time is simulated: time_ns = epoch_ns + steps * step_ns, where epoch_ns [ns] may be any clock's time.
    Positions are in rad, of sliding joints and grippers in m, unless the drive converts them.
    Not thread-safe. To render in another thread, give a copy of `qpos` to a Renderer made there.
    """

    def __init__(
        self,
        model: Model,
        drive: Drive,
        controllers: Mapping[str, Controlled],
        *,
        cameras: tuple[str, ...],
        epoch_ns: int = 0,
        image_size: tuple[int, int] = (320, 240),
    ) -> None:
        """A robot at the model's reference pose.

        Args:
            controllers: by name; each joint of the drive has at most one. The others keep their position.
            cameras: names of the cameras that `render` shows without being told.
            image_size: width and height of their images [pixel].
        """
        self.model = model
        self.data = mujoco.MjData(model)
        self.joints = drive.joints
        self.controllers = {name: each.controller for name, each in controllers.items()}
        self.step_ns = round(model.opt.timestep * 1e9)
        self.epoch_ns = epoch_ns
        self.steps = 0
        self.nan_commands = 0
        self.command_delay = CommandDelay()  # between the controllers and the servos
        self._drive = drive
        self._cameras, self._size = cameras, image_size
        self._renderer: Renderer | None = None
        self._command = np.zeros(len(drive.joints))  # (A,), output of the controllers
        self._controlled = {
            name: (each.controller, self.indices(each.joints), each.mapping)
            for name, each in controllers.items()
        }

    # -- state --------------------------------------------------------------------------------------------

    def indices(self, joints: tuple[str, ...]) -> np.ndarray:
        """Where joints stand among the robot's, (S,) int."""
        return np.array([self.joints.index(joint) for joint in joints], dtype=int)

    @property
    def time_ns(self) -> int:
        """The simulated instant [ns]."""
        return self.epoch_ns + self.steps * self.step_ns

    @property
    def joint_positions(self) -> np.ndarray:
        """Measured positions (A,) [rad], grippers [m]; a copy."""
        to_model = self._drive.coordinates
        return (self.data.qpos[to_model.index] - to_model.offset) / to_model.gain

    @property
    def joint_velocities(self) -> np.ndarray:
        """Measured velocities (A,) [rad/s], grippers [m/s]; a copy."""
        return self.data.qvel[self._drive.velocities] / self._drive.coordinates.gain

    @property
    def joint_efforts(self) -> np.ndarray:
        """Measured forces of the servos (A,) [N m], of sliding joints [N]; a copy."""
        return self.data.qfrc_actuator[self._drive.velocities] * self._drive.coordinates.gain

    def measured(self, controller: str) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities (A_c,) of a controller's joints, as the controller counts them."""
        _, index, mapping = self._controlled[controller]
        rates = mapping.inverse_rates(self.joint_velocities[index])
        return mapping.inverse(self.joint_positions[index]), rates

    @property
    def command(self) -> np.ndarray:
        """The present joint target (A,) [rad], grippers [m]; a copy."""
        return self._command.copy()

    @property
    def unstable_steps(self) -> int:
        """How often the physics got values that are not finite or huge; MuJoCo then begins anew by itself."""
        bad = (
            mujoco.mjtWarning.mjWARN_BADQPOS,
            mujoco.mjtWarning.mjWARN_BADQVEL,
            mujoco.mjtWarning.mjWARN_BADQACC,
        )
        return sum(int(self.data.warning[int(kind)].number) for kind in bad)

    @property
    def qpos(self) -> np.ndarray:
        """All coordinates of the model (nq,), as a Renderer needs them; a copy."""
        return self.data.qpos.copy()

    # -- motion -------------------------------------------------------------------------------------------

    @abstractmethod
    def reset(self, seed: int | None = None) -> None:
        """A new scene. seed: restarts the random numbers; None continues them. Time continues."""

    def place(self, pose: np.ndarray) -> None:
        """Teleports the joints to pose (A,) at rest and resets the controllers."""
        drive = self._drive
        self.data.qpos[drive.coordinates.index] = drive.coordinates(pose)
        self.data.qpos[drive.followers.index] = drive.followers(pose)
        self.data.qvel[:] = 0.0
        self._command[:] = pose
        self.command_delay.clear()
        self.data.ctrl[drive.servos.index] = drive.servos(pose)
        for controller, index, mapping in self._controlled.values():
            controller.reset(mapping.inverse(pose[index]))
        mujoco.mj_forward(self.model, self.data)

    def step(self, n: int = 1) -> None:
        """Advances n physics steps with the controllers."""
        for _ in range(n):
            now_ns = self.time_ns
            positions, velocities = self.joint_positions, self.joint_velocities  # (A,), (A,)
            for controller, index, mapping in self._controlled.values():
                at, rate = mapping.inverse(positions[index]), mapping.inverse_rates(velocities[index])
                self._command[index] = mapping(controller.update(now_ns, at, rate))
            self._apply(self._command)

    def step_towards(self, target: np.ndarray, n: int) -> None:
        """Advances n steps while the command moves linearly to target (A,).

        It bypasses the controllers; lock-step programs drive the robot this way.
        """
        start = self._command.copy()
        for i in range(n):
            self._command[:] = start + (target - start) * ((i + 1) / n)
            self._apply(self._command)
        for controller, index, mapping in self._controlled.values():
            controller.reset(mapping.inverse(self._command[index]))

    def _apply(self, command: np.ndarray) -> None:
        """Sends command (A,) to the servos for one step; a servo ignores a target that is not finite."""
        servos = self._drive.servos
        controls = servos(command)  # (M,)
        if not np.isfinite(command).all():
            self.nan_commands += 1
            controls = np.where(np.isfinite(controls), controls, self.data.ctrl[servos.index])
        controls = self.command_delay.passed(controls, self.data.ctrl[servos.index])
        self.data.ctrl[servos.index] = controls
        mujoco.mj_step(self.model, self.data)
        self.steps += 1

    # -- cameras ------------------------------------------------------------------------------------------

    def render(self, *cameras: str) -> dict[str, np.ndarray]:
        """Returns {camera: uint8 (H, W, 3) RGB} now; without names, of all of the robot's cameras."""
        if self._renderer is None:
            self._renderer = Renderer(self.model, *self._size)
        return self._renderer.render(self.data.qpos, cameras or self._cameras)

    def close(self) -> None:
        """Frees the renderer. Physics still works."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
