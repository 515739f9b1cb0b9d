# SPDX-License-Identifier: Apache-2.0
"""The robot contract: the joints, controllers, cameras and limits that policy and recorder share.

It is read once, from ROS parameters or any nested mapping, and does not change while a node is configured.
Positions are in rad (revolute) or m (prismatic); a gripper's position is its finger opening [m].
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from dit_policy_ros.core.contract._dataset_names import DatasetName
from dit_policy_ros.core.contract._joint_mapping import JointMapping
from dit_policy_ros.core.contract._robot_names import RobotName, mapping_of
from dit_policy_ros.core.contract._vectors import Vector
from dit_policy_ros.core.poses import EDGE, EntryLayout, PoseArm
from dit_policy_ros.core.problems import listing

NANOSECONDS = 1_000_000_000


class ControllerType(StrEnum):
    """Types of ros2_control controllers that can be commanded."""

    JOINT_TRAJECTORY = "joint_trajectory_controller"
    PARALLEL_GRIPPER = "parallel_gripper_controller"
    CARTESIAN_MOTION = "cartesian_motion_controller"
    MOVEIT_SERVO = "moveit_servo"

    @property
    def takes_poses(self) -> bool:
        """Whether it moves an end effector to a pose, and no joints."""
        return self in (ControllerType.CARTESIAN_MOTION, ControllerType.MOVEIT_SERVO)


_TARGETS = {
    ControllerType.CARTESIAN_MOTION: "target_frame",
    ControllerType.MOVEIT_SERVO: "pose_target_cmds",
}
"""Where controllers of poses take their targets, below their node."""


@dataclass(frozen=True, slots=True)
class Controller:
    """One ros2_control controller and its joints, in the order of the contract.

    gripper: if true, predictions are not averaged, and a HOLD keeps the last command. latency [s]: how far
    the joint states lag behind the commands. latency_uncertainty [s]: half its 95 % interval; 0 if unknown.
    node: the controller's node, relative or with its namespace; by default its name. command_topic: where it
    takes its commands, if that is not the type's usual topic below the node. robot_names: what its messages
    call the joints, and their units, (A_c,); by default the joints' own. pose: of a controller of poses; its
    joints are then the six coordinates of the pose (``PoseChart``).
    """

    name: str
    type: ControllerType
    joints: tuple[str, ...]
    gripper: bool = False
    latency: float = 0.0
    latency_uncertainty: float = 0.0
    node: str = ""
    command_topic: str = ""
    robot_names: tuple[RobotName, ...] = ()
    pose: PoseArm | None = None

    @property
    def node_name(self) -> str:
        """Name of the controller's node, to which its topics, actions and services belong."""
        return self.node or self.name

    @property
    def topic(self) -> str:
        """The topic of its trajectories, or of its target poses."""
        return self.command_topic or f"{self.node_name}/{_TARGETS.get(self.type, 'joint_trajectory')}"

    @property
    def state_topic(self) -> str:
        """Where a joint_trajectory_controller says what it does."""
        return f"{self.node_name}/controller_state"

    @property
    def trajectory_action(self) -> str:
        """The action of a joint_trajectory_controller."""
        return f"{self.node_name}/follow_joint_trajectory"

    @property
    def action(self) -> str:
        """The command action of a parallel_gripper_controller."""
        return f"{self.node_name}/gripper_cmd"

    @property
    def mapping(self) -> JointMapping:
        """Converts the values in its messages (A_c,) to joint values and back; its sources are the names."""
        return mapping_of(self.robot_names or tuple(map(RobotName, self.joints)))


@dataclass(frozen=True, slots=True)
class JointStateTopic:
    """A topic of sensor_msgs/JointState. prefix: put before the names in its messages."""

    topic: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Camera:
    """One image stream.

    height, width [pixel]. max_age [s]: how old the newest frame may be. latency [s]: time from the exposure
    of a frame to its stamp. compressed: the topic carries sensor_msgs/CompressedImage. trained_as: its name
    in other people's datasets; empty if it is the same. fps: its rate [Hz]; 0 for the contract's.
    latency_uncertainty [s]: half the 95 % interval of the latency; 0 if unknown. depth_unit: of a depth
    camera, "mm" for images of whole millimetres (16UC1), "m" for metres (32FC1); empty for a colour camera.
    """

    name: str
    topic: str
    height: int
    width: int
    max_age: float
    latency: float = 0.0
    compressed: bool = False
    trained_as: str = ""
    fps: float = 0.0
    latency_uncertainty: float = 0.0
    depth_unit: str = ""

    @property
    def is_depth(self) -> bool:
        """Whether its images hold distances."""
        return bool(self.depth_unit)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width [pixel] and channels of its images."""
        return (self.height, self.width, 1 if self.is_depth else 3)

    @property
    def image_type(self) -> type[np.generic]:
        """The data type of its images."""
        return {"mm": np.uint16, "m": np.float32}.get(self.depth_unit, np.uint8)

    @property
    def dataset_name(self) -> str:
        """The camera's name in the datasets that policies are trained on."""
        return self.trained_as or self.name


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

    def of_joints(self, joints: np.ndarray) -> "Limits":
        """The limits of some joints (S,), by index."""
        return Limits(
            self.position_min[joints],
            self.position_max[joints],
            self.velocity[joints],
            self.acceleration[joints],
            self.jerk[joints],
            self.prismatic[joints],
        )

    def with_velocity_scale(self, scale: float) -> "Limits":
        """A copy with scaled velocity limits. Acceleration stays: the arms must brake as hard as before."""
        return replace(self, velocity=self.velocity * scale)


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything about the robot that the policy and the recorder must agree on.

    joints: order of what is measured and commanded, (A,) each: joints, and of each pose-controlled arm the
    six coordinates of its pose. fps [Hz]: rate of observations and actions.
    joint_states: the topics that together have all joints. joint_states_max_age [s]: how old the newest state
    of each joint may be. dataset_names: what the entries of other people's datasets are, where they have not
    the joints' names and units. vectors: what else is observed. robot_names: what the joint states call the
    joints, and their units, (A,); empty if they are the joints' own. joint_states_fps [Hz]: how often the
    slowest joint is published; 0 for the contract's rate or more.
    rest_pose: where ~/home moves each joint [rad or m], A values; empty if the contract has none.
    """

    robot_type: str
    fps: float
    joints: tuple[str, ...]
    controllers: tuple[Controller, ...]
    cameras: tuple[Camera, ...]
    joint_states: tuple[JointStateTopic, ...]
    joint_states_max_age: float
    limits: Limits
    dataset_names: tuple[DatasetName, ...] = ()
    vectors: tuple[Vector, ...] = ()
    robot_names: tuple[RobotName, ...] = ()
    joint_states_fps: float = 0.0
    rest_pose: tuple[float, ...] = ()

    @property
    def joint_states_topic(self) -> str:
        """The topics of the joint states and poses, for messages; the one topic if it is one."""
        poses = [each.pose.state_topic for each in self.controllers if each.pose is not None]
        return ", ".join([*(each.topic for each in self.joint_states), *poses])

    @property
    def joint_states_period(self) -> float:
        """Time between two messages of the slowest joint [s], if it is known to be slow; else 0."""
        return 1.0 / self.joint_states_fps if self.joint_states_fps else 0.0

    @property
    def robot_mapping(self) -> JointMapping:
        """Converts the values in joint states (A,) to joint values; its sources are the robot's names."""
        return mapping_of(self.robot_names or tuple(map(RobotName, self.joints)))

    @property
    def action_dim(self) -> int:
        """Number of joints and coordinates A, the length of what is measured and commanded."""
        return len(self.joints)

    @property
    def layout(self) -> EntryLayout:
        """What a dataset has for the joints: the same, except for the rotations of pose-controlled arms."""
        charts = {
            int(self.indices(each)[0]): (each.pose.name, each.pose.chart)
            for each in self.controllers
            if each.pose is not None
        }
        return EntryLayout.of(self.joints, charts)

    def outside_workspace(self, rows: np.ndarray, tolerance: np.ndarray | None = None) -> str:
        """Which pose-controlled arm would leave its workspace, in words; empty if none would.

        Args:
            rows: (T, A) positions [rad or m].
            tolerance: (A,) how far outside still counts as inside [rad or m]; None: what a policy may ask
                for, which the limits then cut off (EDGE).
        """
        limits = self.limits
        for each in self.controllers:
            if each.pose is None:
                continue
            columns = self.indices(each)  # (6,)
            low, high = limits.position_min[columns], limits.position_max[columns]  # (6,)
            edge = EDGE if tolerance is None else tolerance[columns]  # (6,)
            problem = each.pose.outside(rows[:, columns], (low, high), edge)
            if problem:
                return f"{each.name}: {problem}"
        return ""

    @property
    def dt(self) -> float:
        """Time between two actions [s]."""
        return 1.0 / self.fps

    @property
    def dt_ns(self) -> int:
        """Time between two actions, rounded [ns]."""
        return round(NANOSECONDS / self.fps)

    @property
    def trained_cameras(self) -> dict[str, str]:
        """The cameras' names by those that they have in the training data."""
        return {camera.dataset_name: camera.name for camera in self.cameras}

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names of the cameras, in the order of the contract."""
        return tuple(camera.name for camera in self.cameras)

    def image_rate(self, camera: Camera) -> float:
        """How many new images of a camera there are per second of an episode [Hz], at most one per frame."""
        return min(camera.fps or self.fps, self.fps)

    def image_lead(self, camera: Camera) -> float:
        """How much longer than a frame an image stays the newest [s]; 0 if the camera is fast enough."""
        return 1.0 / self.image_rate(camera) - self.dt

    def camera(self, name: str) -> Camera:
        """The camera with this name.

        Raises:
            ValueError: there is none; lists the valid names.
        """
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise ValueError(f"no camera '{name}' in the contract; cameras: {listing(self.camera_names)}")

    def vector(self, name: str) -> Vector:
        """The further vector with this name.

        Raises:
            ValueError: there is none; lists the valid names.
        """
        for vector in self.vectors:
            if vector.name == name:
                return vector
        names = listing(vector.name for vector in self.vectors)
        raise ValueError(f"no vector '{name}' in the contract; vectors: {names}")

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
    def latencies(self) -> np.ndarray:
        """How far each joint lags behind its commands, (A,) [s]."""
        latencies = np.zeros(self.action_dim)  # (A,)
        for controller in self.controllers:
            latencies[self.indices(controller)] = controller.latency
        return latencies

    @property
    def gripper_mask(self) -> np.ndarray:
        """True where a joint belongs to a gripper, (A,) bool."""
        mask = np.zeros(self.action_dim, dtype=bool)  # (A,)
        for controller in self.controllers:
            if controller.gripper:
                mask[self.indices(controller)] = True
        return mask
