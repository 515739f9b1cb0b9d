# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""The simulated two-armed robot: 500 Hz physics with a model of ros2_control's controllers."""

import mujoco
import numpy as np

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.robot._appearance import Appearance, Variation
from dit_policy_ros.sim.robot._assets import asset_path
from dit_policy_ros.sim.robot._controller_settings import ControllerSettings
from dit_policy_ros.sim.robot._cubes import CUBE_EDGE, CUBES, sample_cubes
from dit_policy_ros.sim.robot._gripper_controller import ParallelGripperController
from dit_policy_ros.sim.robot._renderer import Renderer, camera_id
from dit_policy_ros.sim.robot._trajectory_controller import TrajectoryController

SIDES = ("left", "right")
ARM_JOINTS = 6
JOINTS = tuple(
    f"{side}_{name}" for side in SIDES for name in (*(f"joint_{i + 1}" for i in range(ARM_JOINTS)), "gripper")
)
CONTROLLERS = {
    f"{side}_{part}_controller": tuple(j for j in JOINTS if j.startswith(side) and ("gripper" in j) == grip)
    for side in SIDES
    for part, grip in (("arm", False), ("gripper", True))
}
CAMERAS = ("top", "left_wrist", "right_wrist")
_APPEARANCE_STREAM = 1  # second seed of the random numbers for appearance
STEP_NS = 2_000_000  # one physics step: 500 Hz
# At home the grippers point down beside the workspace, 0.2 m over the table, half open; [rad] and [m].
_ARM_HOME = (0.0, -1.8650, 2.1590, 0.0, 1.2768, 0.0, 0.02)
HOME = np.array(_ARM_HOME * 2)  # (14,)
HOME.flags.writeable = False
_DEFAULT_CONTROLLERS = ControllerSettings()


def arm_slice(side: str) -> slice:
    """Where an arm's six joints stand among the robot's 14; its gripper follows, at ``stop``."""
    first = SIDES.index(side) * (ARM_JOINTS + 1)
    return slice(first, first + ARM_JOINTS)


class BimanualSim:
    """Physics, cameras and controllers of the robot, deterministic for a seed.

    Time is simulated: time_ns = epoch_ns + steps * 2 ms, where epoch_ns [ns] may be any clock's time.
    Not thread-safe. To render in another thread, give a copy of `qpos` to a Renderer made there.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        epoch_ns: int = 0,
        width: int = 320,
        height: int = 240,
        controllers: ControllerSettings = _DEFAULT_CONTROLLERS,
        variation: Variation | None = None,
    ) -> None:
        """Build the scene of a seed.

        Args:
            controllers: which controllers the robot has, and their parameters.
            variation: how cameras and lights vary from reset to reset.
        """
        self.model = mujoco.MjModel.from_xml_path(str(asset_path("mjcf/bimanual.xml")))
        self.data = mujoco.MjData(self.model)
        if round(self.model.opt.timestep * 1e9) != STEP_NS:
            raise ValueError(f"the model steps by {self.model.opt.timestep} s, not by 2 ms")
        self._appearance = None if variation is None else Appearance(self.model, variation)
        self.epoch_ns = epoch_ns
        self._size = (width, height)
        self._renderer: Renderer | None = None
        joints = [self.model.joint(name) for name in JOINTS]
        self._qpos_index = np.array([j.qposadr[0] for j in joints])  # (14,)
        self._qvel_index = np.array([j.dofadr[0] for j in joints])  # (14,)
        self._mimic_qpos = np.array(
            [self.model.joint(f"{s}_gripper_mimic").qposadr[0] for s in SIDES]
        )  # (2,)
        self._gripper_of_side = np.array([JOINTS.index(f"{s}_gripper") for s in SIDES])  # (2,)
        self._ctrl_index = np.array([self.model.actuator(name).id for name in JOINTS])  # (14,)
        self._cube_qpos = [self.model.joint(f"{c}_cube").qposadr[0] for c in CUBES]
        self.lower = self.model.jnt_range[[j.id for j in joints], 0].copy()  # (14,) [rad], [m]
        self.upper = self.model.jnt_range[[j.id for j in joints], 1].copy()  # (14,)
        self._command = HOME.copy()  # (14,), output of the controllers
        self.controllers: dict[str, TrajectoryController | ParallelGripperController] = {
            name: (
                ParallelGripperController(name, names, period_ns=STEP_NS)
                if controllers.parallel_grippers and "gripper" in name
                else TrajectoryController(name, names, period_ns=STEP_NS, settings=controllers)
            )
            for name, names in CONTROLLERS.items()
        }
        self._controlled = [
            (controller, np.array([JOINTS.index(j) for j in controller.joints]))
            for controller in self.controllers.values()
        ]
        self.steps = 0
        self.nan_commands = 0
        self.reset(seed)

    # -- state --------------------------------------------------------------------------------------------

    @property
    def time_ns(self) -> int:
        """The simulated instant [ns]."""
        return self.epoch_ns + self.steps * STEP_NS

    @property
    def joint_positions(self) -> np.ndarray:
        """Measured positions (14,) [rad], grippers [m]; a copy."""
        return self.data.qpos[self._qpos_index]

    @property
    def joint_velocities(self) -> np.ndarray:
        """Measured velocities (14,) [rad/s], grippers [m/s]; a copy."""
        return self.data.qvel[self._qvel_index]

    @property
    def command(self) -> np.ndarray:
        """The present joint target (14,) [rad], grippers [m]; a copy."""
        return self._command.copy()

    @property
    def qpos(self) -> np.ndarray:
        """All coordinates of the model (nq,), as a Renderer needs them; a copy."""
        return self.data.qpos.copy()

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
        """Teleports the joints to pose (14,) at rest and resets the controllers."""
        pose = np.clip(pose, self.lower, self.upper)
        self.data.qpos[self._qpos_index] = pose
        self.data.qpos[self._mimic_qpos] = pose[self._gripper_of_side]
        self.data.qvel[:] = 0.0
        self._command[:] = pose
        self.data.ctrl[self._ctrl_index] = pose
        for controller, index in self._controlled:
            controller.reset(pose[index])
        mujoco.mj_forward(self.model, self.data)

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

    # -- motion -------------------------------------------------------------------------------------------

    def step(self, n: int = 1) -> None:
        """Advances n physics steps with the controllers."""
        for _ in range(n):
            now_ns = self.time_ns
            positions, velocities = self.joint_positions, self.joint_velocities  # (14,), (14,)
            for controller, index in self._controlled:
                self._command[index] = controller.update(now_ns, positions[index], velocities[index])
            self._apply(self._command)

    def step_towards(self, target: np.ndarray, n: int) -> None:
        """Advances n steps while the command moves linearly to target (14,).

        It bypasses the controllers; lock-step programs drive the robot this way.
        """
        start = self._command.copy()
        for i in range(n):
            self._command[:] = start + (target - start) * ((i + 1) / n)
            self._apply(self._command)
        for controller, index in self._controlled:
            controller.reset(self._command[index])

    def _apply(self, command: np.ndarray) -> None:
        """Sends command (14,) to the servos for one step; a servo ignores a target that is not finite."""
        if not np.isfinite(command).all():
            self.nan_commands += 1
            command = np.where(np.isfinite(command), command, self.data.ctrl[self._ctrl_index])
        self.data.ctrl[self._ctrl_index] = command
        mujoco.mj_step(self.model, self.data)
        self.steps += 1

    # -- cameras ------------------------------------------------------------------------------------------

    def render(self, *cameras: str) -> dict[str, np.ndarray]:
        """Returns {camera: uint8 (H, W, 3) RGB} now; without names, of all three cameras."""
        if self._renderer is None:
            self._renderer = Renderer(self.model, *self._size)
        return self._renderer.render(self.data.qpos, cameras or CAMERAS)

    def close(self) -> None:
        """Frees the renderer. Physics still works."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def __enter__(self) -> "BimanualSim":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
