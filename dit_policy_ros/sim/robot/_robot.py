# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""The robot of the built-in scene: two arms over a table with three cubes, 500 Hz physics."""

from collections.abc import Mapping

import mujoco
import numpy as np

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.controllers import (
    Controlled,
    ControllerSettings,
    ParallelGripperController,
    TrajectoryController,
    with_own_joints,
)
from dit_policy_ros.sim.names import ARM_JOINTS, CAMERAS, CONTROLLERS, JOINTS, SIDES
from dit_policy_ros.sim.robot._appearance import Appearance, Variation
from dit_policy_ros.sim.robot._assets import asset_path
from dit_policy_ros.sim.robot._cubes import CUBE_EDGE, CUBES, sample_cubes
from dit_policy_ros.sim.robot._drive import Drive, LinearMap, direct
from dit_policy_ros.sim.robot._renderer import Model, camera_id
from dit_policy_ros.sim.robot._simulated_robot import SimulatedRobot

_APPEARANCE_STREAM = 1  # second seed of the random numbers for appearance
STEP_NS = 2_000_000  # one physics step: 500 Hz
# At home the grippers point down beside the workspace, 0.2 m over the table, half open; [rad] and [m].
_ARM_HOME = (0.0, -1.8650, 2.1590, 0.0, 1.2768, 0.0, 0.02)
HOME = np.array(_ARM_HOME * 2)  # (14,)
HOME.flags.writeable = False
_DEFAULT_CONTROLLERS = ControllerSettings()


def built_in_model() -> Model:
    """The model of the built-in scene, loaded anew."""
    return mujoco.MjModel.from_xml_path(str(asset_path("mjcf/bimanual.xml")))


def arm_slice(side: str) -> slice:
    """Where an arm's six joints stand among the robot's 14; its gripper follows, at ``stop``."""
    first = SIDES.index(side) * (ARM_JOINTS + 1)
    return slice(first, first + ARM_JOINTS)


class BimanualSim(SimulatedRobot):
    """The robot of the built-in scene: two arms and three cubes, deterministic for a seed."""

    def __init__(
        self,
        seed: int = 0,
        *,
        epoch_ns: int = 0,
        width: int = 320,
        height: int = 240,
        controllers: ControllerSettings | Mapping[str, Controlled] = _DEFAULT_CONTROLLERS,
        variation: Variation | None = None,
    ) -> None:
        """Build the scene of a seed.

        Args:
            controllers: the parameters of the four controllers in CONTROLLERS, or other controllers by name.
            variation: how cameras and lights vary from reset to reset.
        """
        model = built_in_model()
        if round(model.opt.timestep * 1e9) != STEP_NS:
            raise ValueError(f"the model steps by {model.opt.timestep} s, not by 2 ms")
        if isinstance(controllers, ControllerSettings):
            controllers = _controllers(controllers)
        super().__init__(
            model, _drive(model), controllers,
            cameras=CAMERAS, epoch_ns=epoch_ns, image_size=(width, height),
        )  # fmt: skip
        self._appearance = None if variation is None else Appearance(self.model, variation)
        joints = [self.model.joint(name).id for name in JOINTS]
        self._gripper_of_side = np.array([JOINTS.index(f"{s}_gripper") for s in SIDES])  # (2,)
        self._cube_qpos = [self.model.joint(f"{c}_cube").qposadr[0] for c in CUBES]
        self.lower = self.model.jnt_range[joints, 0].copy()  # (14,) [rad], [m]
        self.upper = self.model.jnt_range[joints, 1].copy()  # (14,)
        self._command = HOME.copy()  # (14,), output of the controllers
        self.reset(seed)

    # -- state --------------------------------------------------------------------------------------------

    def tcp(self, side: str) -> np.ndarray:
        """The tool centre point between the finger tips (3,) [m], in the world."""
        return self.data.site(f"{side}_tcp").xpos.copy()

    def cube_position(self, colour: str) -> np.ndarray:
        """A cube's centre (3,) [m], in the world; raises SimulationError for an unknown colour."""
        if colour not in CUBES:
            raise SimulationError(f"unknown cube '{colour}'; the scene has {list(CUBES)}")
        start = self._cube_qpos[CUBES.index(colour)]
        return self.data.qpos[start : start + 3].copy()

    def cube_poses(self) -> np.ndarray:
        """All cubes (3, 3): x [m], y [m], yaw [rad] of red, green, blue."""
        rows = []
        for start in self._cube_qpos:
            x, y, _, w, i, j, k = self.data.qpos[start : start + 7]
            rows.append((x, y, np.arctan2(2 * (w * k + i * j), 1 - 2 * (j * j + k * k))))
        return np.array(rows)

    def camera_pose(self, camera: str) -> tuple[np.ndarray, np.ndarray, float]:
        """Pose of a camera: position (3,) [m], axes as columns (3, 3), half the vertical field of view [rad].

        Raises SimulationError for an unknown camera.
        """
        index = camera_id(self.model, camera)
        half_angle = float(np.radians(self.model.cam_fovy[index]) / 2)
        rotation = self.data.cam_xmat[index].reshape(3, 3).copy()
        return self.data.cam_xpos[index].copy(), rotation, half_angle

    # -- scene --------------------------------------------------------------------------------------------

    def reset(
        self, seed: int | None = None, cubes: np.ndarray | None = None, arm_jitter: float = 0.0
    ) -> None:
        """Puts the arms at home, the cubes at random (or given (3, 3) x, y, yaw) poses; resets controllers.

        seed: restarts the random numbers; None continues them. Time continues in either case.
        arm_jitter: largest distance of each arm joint from home [rad].
        """
        if seed is not None:
            self.rng = np.random.default_rng(seed)
            # Random numbers of its own: the cubes' poses do not depend on the variation.
            self._appearance_rng = np.random.default_rng([_APPEARANCE_STREAM, seed])
        if self._appearance is not None:
            self._appearance.change(self._appearance_rng)
        elapsed = self.data.time
        mujoco.mj_resetData(self.model, self.data)
        self.data.time = elapsed
        pose = HOME.copy()
        if arm_jitter > 0.0:
            pose += self.rng.uniform(-arm_jitter, arm_jitter, size=len(JOINTS))
            pose[self._gripper_of_side] = self.rng.uniform(0.0, 0.03, size=len(SIDES))
        self.place_cubes(sample_cubes(self.rng) if cubes is None else cubes)
        self.place(pose)

    def place(self, pose: np.ndarray) -> None:
        """Teleports the joints to pose (14,), within their range, at rest; resets the controllers."""
        super().place(np.clip(pose, self.lower, self.upper))

    def cube_frames(self) -> np.ndarray:
        """All cubes (3, 7): position [m] and quaternion (w, x, y, z) of red, green, blue, in the world."""
        return np.array([self.data.qpos[start : start + 7] for start in self._cube_qpos])

    def mirror(self, pose: np.ndarray, cube_frames: np.ndarray, command: np.ndarray | None = None) -> None:
        """Copies the state of another scene: joints (14,), cubes (3, 7) as `cube_frames` returns them.

        Velocities are zero. `command` (14,) is the joint target there; None: the pose.
        """
        for start, frame in zip(self._cube_qpos, cube_frames, strict=True):
            self.data.qpos[start : start + 7] = frame
        self.place(pose)
        if command is not None:
            self._command[:] = command

    def place_cubes(self, cubes: np.ndarray) -> None:
        """Teleports the cubes to (3, 3) x [m], y [m], yaw [rad], at rest on the table."""
        for start, (x, y, yaw) in zip(self._cube_qpos, cubes, strict=True):
            self.data.qpos[start : start + 7] = (x, y, CUBE_EDGE / 2, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
        for colour in CUBES:
            first = self.model.joint(f"{colour}_cube").dofadr[0]
            self.data.qvel[first : first + 6] = 0.0
        mujoco.mj_forward(self.model, self.data)


def _drive(model: Model) -> Drive:
    """The joints of the built-in scene have servos of their own names; a gripper's second finger follows."""
    joints = [model.joint(name) for name in JOINTS]
    servos = np.array([model.actuator(name).id for name in JOINTS])  # (14,)
    second = np.array([model.joint(f"{side}_gripper_mimic").qposadr[0] for side in SIDES])  # (2,)
    first = np.array([JOINTS.index(f"{side}_gripper") for side in SIDES])  # (2,)
    return Drive(
        joints=JOINTS,
        coordinates=direct(np.array([joint.qposadr[0] for joint in joints])),
        velocities=np.array([joint.dofadr[0] for joint in joints]),
        servos=direct(servos),
        followers=LinearMap(second, first, np.ones(len(SIDES)), np.zeros(len(SIDES))),
    )


def _controllers(settings: ControllerSettings) -> dict[str, Controlled]:
    """The four controllers of the built-in scene."""
    return {
        name: with_own_joints(
            ParallelGripperController(name, names, period_ns=STEP_NS)
            if settings.parallel_grippers and "gripper" in name
            else TrajectoryController(name, names, period_ns=STEP_NS, settings=settings)
        )
        for name, names in CONTROLLERS.items()
    }
