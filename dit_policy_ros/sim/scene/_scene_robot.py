# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""The robot of a contract in any MJCF."""

import mujoco
import numpy as np

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.sim.controllers import ControllerSettings, contract_controllers
from dit_policy_ros.sim.poses import joint_contract, pose_controllers
from dit_policy_ros.sim.robot import Appearance, Model, SimulatedRobot, Variation
from dit_policy_ros.sim.scene._binding import SceneNames, bind
from dit_policy_ros.sim.scene._entries import called
from dit_policy_ros.sim.scene._load import load_model
from dit_policy_ros.sim.scene._task import SceneTask

_APPEARANCE_STREAM = 1  # second seed of the random numbers for appearance


class SceneRobot(SimulatedRobot):
    """A robot that is described by a contract, in the scene of an MJCF; deterministic for a seed.

    `binding` says which cameras are which, and what the user should know.
    """

    def __init__(
        self,
        contract: Contract,
        names: SceneNames,
        *,
        seed: int = 0,
        settings: ControllerSettings | None = None,
        task: SceneTask | None = None,
        variation: Variation | None = None,
    ) -> None:
        """Load the scene and begin at its home pose.

        Args:
            settings: parameters of all trajectory controllers.
            task: what is reset beside the robot; None: nothing.
            variation: how cameras and lights vary from reset to reset.

        Raises:
            SimulationError: the scene cannot be loaded, or the contract does not fit it; lists all problems.
        """
        model: Model = load_model(names.scene)
        self.binding = bind(model, joint_contract(contract, model), names)
        step_ns = round(model.opt.timestep * 1e9)
        controllers = contract_controllers(contract, step_ns, settings or ControllerSettings())
        super().__init__(
            model,
            self.binding.drive,
            controllers | dict(pose_controllers(contract, model, step_ns)),
            cameras=tuple(self.binding.cameras.values()),
        )
        self._task = task
        self._appearance = None if variation is None else Appearance(model, variation)
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """Puts everything to the home pose, then lets the task arrange its objects; resets the controllers.

        seed: restarts the random numbers; None continues them. Time continues in either case.
        """
        if seed is not None:
            self.rng = np.random.default_rng(seed)
            self._appearance_rng = np.random.default_rng([_APPEARANCE_STREAM, seed])
        if self._appearance is not None:
            self._appearance.change(self._appearance_rng)
        elapsed = self.data.time
        mujoco.mj_resetData(self.model, self.data)
        self.data.time = elapsed
        pose, controls = self.binding.home
        self.data.qpos[:], self.data.ctrl[:] = pose, controls
        self.place(self.joint_positions)
        if self._task is not None:
            what = f"scene_task '{self._task.instruction}': reset()"
            called(what, self._task.reset, self.model, self.data, self.rng)
            mujoco.mj_forward(self.model, self.data)
