# SPDX-License-Identifier: Apache-2.0
"""The robot contract: the joints, controllers, cameras and limits that policy and recorder share.

It is read once, from ROS parameters or any nested mapping, and does not change while a node is configured.
Positions are in rad (revolute) or m (prismatic); a gripper's position is its finger opening [m].
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from dit_policy_ros.core.problems import listing

NANOSECONDS = 1_000_000_000


class ControllerType(StrEnum):
    """Types of ros2_control controllers that can be commanded."""

    JOINT_TRAJECTORY = "joint_trajectory_controller"
    PARALLEL_GRIPPER = "parallel_gripper_controller"


@dataclass(frozen=True, slots=True)
class Controller:
    """One ros2_control controller and its joints, in the order of the contract.

    gripper: if true, predictions are not averaged, and a HOLD keeps the last command.
    """

    name: str
    type: ControllerType
    joints: tuple[str, ...]
    gripper: bool = False

    @property
    def topic(self) -> str:
        """The command topic of a joint_trajectory_controller (relative name)."""
        return f"{self.name}/joint_trajectory"

    @property
    def action(self) -> str:
        """The command action of a parallel_gripper_controller (relative name)."""
        return f"{self.name}/gripper_cmd"


@dataclass(frozen=True, slots=True)
class Camera:
    """One image stream.

    height, width [pixel]. max_age [s]: how old the newest frame may be. latency [s]: time from the exposure
    of a frame to its stamp. compressed: the topic carries sensor_msgs/CompressedImage.
    """

    name: str
    topic: str
    height: int
    width: int
    max_age: float
    latency: float = 0.0
    compressed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Limits of all joints, in the order of the contract; the arrays are read-only.

    position_min, position_max [rad] or [m]; velocity [rad/s] or [m/s]; acceleration [rad/s^2] or [m/s^2];
    jerk [rad/s^3] or [m/s^3], inf (the default) for no limit. A joint without position limits (-inf, inf) is
    continuous: angles that differ by a whole turn are the same pose. prismatic: bool, True where a joint
    slides and its unit is the metre; False (the default) where it turns.
    """

    position_min: np.ndarray  # (A,)
    position_max: np.ndarray  # (A,)
    velocity: np.ndarray  # (A,)
    acceleration: np.ndarray  # (A,)
    jerk: np.ndarray = field(default_factory=lambda: np.array(np.inf))  # (A,)
    prismatic: np.ndarray = field(default_factory=lambda: np.array(False))  # (A,)

    def __post_init__(self) -> None:
        for name in ("jerk", "prismatic"):
            object.__setattr__(self, name, np.broadcast_to(getattr(self, name), np.shape(self.position_min)))
        for name in ("position_min", "position_max", "velocity", "acceleration", "jerk", "prismatic"):
            kind = bool if name == "prismatic" else np.float64
            array = np.array(getattr(self, name), dtype=kind)  # (A,)
            if array.ndim != 1 or array.shape != np.shape(self.position_min):
                raise ValueError(f"Limits.{name} has shape {array.shape}; all must be (A,)")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def continuous(self) -> np.ndarray:
        """Which joints have no position limits, (A,) bool."""
        return np.isinf(self.position_max)

    def with_velocity_scale(self, scale: float) -> "Limits":
        """A copy with scaled velocity limits. Acceleration stays: the arms must brake as hard as before."""
        return replace(self, velocity=self.velocity * scale)


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything about the robot that the policy and the recorder must agree on.

    joints: order of the state and action vectors, (A,) each. fps [Hz]: rate of observations and actions.
    joint_states_max_age [s]: how old the newest joint state may be.
    """

    robot_type: str
    fps: float
    joints: tuple[str, ...]
    controllers: tuple[Controller, ...]
    cameras: tuple[Camera, ...]
    joint_states_topic: str
    joint_states_max_age: float
    limits: Limits

    @property
    def action_dim(self) -> int:
        """Number of joints A, the length of state and action."""
        return len(self.joints)

    @property
    def dt(self) -> float:
        """Time between two actions [s]."""
        return 1.0 / self.fps

    @property
    def dt_ns(self) -> int:
        """Time between two actions, rounded [ns]."""
        return round(NANOSECONDS / self.fps)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names of the cameras, in the order of the contract."""
        return tuple(camera.name for camera in self.cameras)

    def camera(self, name: str) -> Camera:
        """The camera with this name.

        Raises:
            ValueError: there is none; lists the valid names.
        """
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise ValueError(f"no camera '{name}' in the contract; cameras: {listing(self.camera_names)}")

    def controller(self, name: str) -> Controller:
        """The controller with this name.

        Raises:
            ValueError: there is none; lists the valid names.
        """
        for controller in self.controllers:
            if controller.name == name:
                return controller
        names = listing(controller.name for controller in self.controllers)
        raise ValueError(f"no controller '{name}' in the contract; controllers: {names}")

    def indices(self, controller: Controller | str) -> np.ndarray:
        """The indices of a controller's joints in the action vector, (A_c,) int."""
        if isinstance(controller, str):
            controller = self.controller(controller)
        return np.array([self.joints.index(joint) for joint in controller.joints], dtype=np.intp)  # (A_c,)

    @property
    def gripper_mask(self) -> np.ndarray:
        """True where a joint belongs to a gripper, (A,) bool."""
        mask = np.zeros(self.action_dim, dtype=bool)  # (A,)
        for controller in self.controllers:
            if controller.gripper:
                mask[self.indices(controller)] = True
        return mask
