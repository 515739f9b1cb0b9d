# SPDX-License-Identifier: Apache-2.0
"""The robot contract: which joints, controllers, cameras and limits both nodes agree on.

It is read once, from ROS parameters or any nested mapping, and never changes while a node is configured.
Positions are in rad (revolute) or m (prismatic); a gripper's position is its finger opening [m].
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from dit_policy_ros.core.problems import listing

NANOSECONDS = 1_000_000_000


class ControllerType(StrEnum):
    """Kinds of ros2_control controllers that commands can be sent to."""

    JOINT_TRAJECTORY = "joint_trajectory_controller"
    PARALLEL_GRIPPER = "parallel_gripper_controller"


@dataclass(frozen=True, slots=True)
class Controller:
    """One ros2_control controller and the joints it owns, in the contract's order of them.

    gripper: whether the newest prediction wins and a hold keeps the last command.
    """

    name: str
    type: ControllerType
    joints: tuple[str, ...]
    gripper: bool = False

    @property
    def topic(self) -> str:
        """Topic of the commands to a joint_trajectory_controller, relative as ros2_control names it."""
        return f"{self.name}/joint_trajectory"

    @property
    def action(self) -> str:
        """Action that a parallel_gripper_controller is commanded by, relative as ros2_control names it."""
        return f"{self.name}/gripper_cmd"


@dataclass(frozen=True, slots=True)
class Camera:
    """One image stream.

    max_age [s]: how old its newest frame may be. latency [s]: how long before its stamp a frame was exposed.
    compressed: the topic carries sensor_msgs/CompressedImage.
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
    """Limits of every joint in the contract's joint order; arrays are made read-only.

    position_min, position_max [rad] or [m]; velocity [rad/s] or [m/s]; acceleration [rad/s^2] or [m/s^2];
    jerk [rad/s^3] or [m/s^3], inf where it is not limited, as by default. A joint without position limits
    (-inf, inf) is continuous: it turns without end, and angles a whole turn apart are the same.
    """

    position_min: np.ndarray  # (A,)
    position_max: np.ndarray  # (A,)
    velocity: np.ndarray  # (A,)
    acceleration: np.ndarray  # (A,)
    jerk: np.ndarray = field(default_factory=lambda: np.array(np.inf))  # (A,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "jerk", np.broadcast_to(self.jerk, np.shape(self.position_min)))
        for name in ("position_min", "position_max", "velocity", "acceleration", "jerk"):
            array = np.array(getattr(self, name), dtype=np.float64)  # (A,)
            if array.ndim != 1 or array.shape != np.shape(self.position_min):
                raise ValueError(f"Limits.{name} has shape {array.shape}; all must be (A,)")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def continuous(self) -> np.ndarray:
        """Which joints turn without end, (A,) bool."""
        return np.isinf(self.position_max)

    def slowed(self, scale: float) -> "Limits":
        """The same with velocities times a scale; acceleration stays, so that braking is as good as ever."""
        return replace(self, velocity=self.velocity * scale)


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything about the robot that the policy and the recorder must agree on.

    joints: order of the state and the action vector, (A,) each. fps [Hz]: rate of observations and actions.
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
        """Number of joints A; state and action have this length."""
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
        """Names of the cameras in the contract's order."""
        return tuple(camera.name for camera in self.cameras)

    def camera(self, name: str) -> Camera:
        """The camera of that name; ValueError lists the valid ones."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise ValueError(f"no camera '{name}' in the contract; cameras: {listing(self.camera_names)}")

    def controller(self, name: str) -> Controller:
        """The controller of that name; ValueError lists the valid ones."""
        for controller in self.controllers:
            if controller.name == name:
                return controller
        names = listing(controller.name for controller in self.controllers)
        raise ValueError(f"no controller '{name}' in the contract; controllers: {names}")

    def indices(self, controller: Controller | str) -> np.ndarray:
        """Where a controller's joints stand in the action vector, (A_c,) int."""
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
