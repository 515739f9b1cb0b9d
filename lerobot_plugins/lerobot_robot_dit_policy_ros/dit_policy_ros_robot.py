# SPDX-License-Identifier: Apache-2.0
"""A ros2_control robot as LeRobot's ``Robot``.

LeRobot's process only observes and asks. A policy node in a process of its own moves the robot: it keeps the
limits, holds when this process is silent, stopped or killed, and has the e-stop.

Shapes: A joints, E entries of a dataset: joints, and nine of each arm that is controlled by poses.
"""

from functools import cached_property
from typing import Any

import numpy as np
from lerobot.robots.robot import Robot
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import DitPolicyError, PoseError
from dit_policy_ros.ros.commanding import CommandSettings, GuardedRobot
from dit_policy_ros.ros.survey import read_contract_file
from lerobot_robot_dit_policy_ros import announce
from lerobot_robot_dit_policy_ros.config_dit_policy_ros import DitPolicyRosRobotConfig

_POSITION = ".pos"  # LeRobot's ending of the names of positions


class DitPolicyRosRobot(Robot):
    """Observations from the contract's streams, actions through the motion path of the policy node."""

    config_class = DitPolicyRosRobotConfig
    name = "dit_policy_ros"

    def __init__(self, config: DitPolicyRosRobotConfig) -> None:
        """Read the contract. Raises ContractError."""
        super().__init__(config)
        self.config = config
        self.contract: Contract = read_contract_file(config.contract).contract
        settings = CommandSettings(
            config=config.contract,
            cameras=tuple(config.camera_names),
            namespace=config.namespace.strip("/"),
            node=config.node,
            use_sim_time=config.use_sim_time,
            delay=config.delay,
            silence=config.silence,
            wait=config.observation_wait,
            parameters={"velocity_scale": f"{config.velocity_scale:g}", **_parameters(config.parameters)},
        )
        unknown = [name for name in settings.cameras if name not in self.contract.camera_names]
        if unknown:
            raise DitPolicyError(
                f"--robot.camera_names: {config.contract} has no camera {', '.join(unknown)}; it has "
                f"{', '.join(self.contract.camera_names) or 'none'}"
            )
        self.robot = GuardedRobot(self.contract, settings)
        self._layout = self.contract.layout

    @property
    def cameras(self) -> dict[str, Any]:
        """The cameras of the contract that are read; LeRobot counts them."""
        return {name: self.contract.camera(name) for name in self.robot.cameras}

    @cached_property
    def observation_features(self) -> dict[str, type | tuple[int, ...]]:
        """The actions' entries, as measured, and an image (height, width, 3 or 1) per camera."""
        images = {name: camera.image_shape for name, camera in self.cameras.items()}
        return {**self.action_features, **images}

    @cached_property
    def action_features(self) -> dict[str, type]:
        """A position per joint [rad or m], in contract order; of a pose-controlled arm its nine entries."""
        return {f"{name}{_POSITION}": float for name in self._layout.names}

    @property
    def is_connected(self) -> bool:
        """Whether the policy node is running, and checked the robot."""
        return self.robot.connected

    @property
    def is_calibrated(self) -> bool:
        """The controllers know where the joints are."""
        return True

    def connect(self, calibrate: bool = True) -> None:
        """Start the policy node, which checks streams, controllers, clocks and limits.

        Raises:
            DitPolicyError: a check failed, with what to do.
        """
        if self.is_connected:
            raise DitPolicyError(f"{self} is connected already")
        self.robot.connect()
        announce(self)

    def calibrate(self) -> None:
        """Nothing to do; `dit_policy calibrate` measures latencies."""

    def configure(self) -> None:
        """Nothing to do: the contract has it."""

    def get_observation(self) -> dict[str, Any]:
        """The newest observation: all of one time, as the recorder and the policy node make it.

        Raises:
            DitPolicyError: a stream is stale, or the robot is not connected.
        """
        state = self.robot.observe()
        return {**self._named(state.joints), **state.images}

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        """Send the joints to positions [rad or m]; returns them within the position limits.

        Raises:
            DitPolicyError: a joint is missing or unknown, a value is not finite or a rotation is none (the
                arms hold), or the robot is not connected.
        """
        # Datasets of this project's recorder name the joints without LeRobot's ending.
        given = {_with_ending(name): value for name, value in action.items()}
        missing = [name for name in self.action_features if name not in given]
        if missing:
            raise DitPolicyError(
                f"the action lacks {', '.join(missing)}; it has {', '.join(action) or 'nothing'}"
            )
        unknown = [name for name in action if _with_ending(name) not in self.action_features]
        if unknown or len(given) != len(action):
            raise DitPolicyError(
                f"the action has {', '.join(unknown) or 'a joint twice, with and without .pos'}; the robot "
                f"has {', '.join(self.action_features)}"
            )
        entries = np.array([float(given[name]) for name in self.action_features])  # (E,)
        try:
            pose = self._layout.to_joints(entries)  # (A,)
        except PoseError as error:
            self.robot.refuse(f"a command is no pose: {error}")
        return self._named(self.robot.command(pose))

    def _named(self, joints: NDArray[np.float64]) -> dict[str, float]:
        """What LeRobot gets of joints (A,)."""
        entries = self._layout.to_entries(joints)  # (E,)
        return {name: float(value) for name, value in zip(self.action_features, entries, strict=True)}

    def disconnect(self) -> None:
        """Let the arms hold, and end the policy node."""
        self.robot.close()


def _with_ending(name: str) -> str:
    return name if name.endswith(_POSITION) else name + _POSITION


def _parameters(given: list[str]) -> dict[str, str]:
    split = {name.strip(): value for name, _, value in (each.partition(":=") for each in given)}
    if bad := [each for each in given if ":=" not in each]:
        raise DitPolicyError(f"--robot.parameters: expected NAME:=VALUE, got {', '.join(bad)}")
    return split
