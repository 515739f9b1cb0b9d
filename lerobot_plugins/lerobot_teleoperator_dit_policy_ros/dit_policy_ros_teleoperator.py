# SPDX-License-Identifier: Apache-2.0
"""A leader arm, a joystick or any command topic of the graph as LeRobot's ``Teleoperator``."""

from functools import cached_property
from typing import Any

from lerobot.teleoperators.teleoperator import Teleoperator

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.ros.commanding import CommandReader, ReaderSettings
from dit_policy_ros.ros.survey import read_contract_file
from lerobot_teleoperator_dit_policy_ros.config_dit_policy_ros import DitPolicyRosTeleoperatorConfig


class DitPolicyRosTeleoperator(Teleoperator):
    """The newest command of a topic, in the robot's joints and units."""

    config_class = DitPolicyRosTeleoperatorConfig
    name = "dit_policy_ros"

    def __init__(self, config: DitPolicyRosTeleoperatorConfig) -> None:
        """Read the contract. Raises DitPolicyError."""
        super().__init__(config)
        self.config = config
        self.contract = read_contract_file(config.contract).contract
        self.reader = CommandReader(
            self.contract,
            ReaderSettings(
                topic=config.topic,
                kind=config.kind,
                mapping=tuple(config.mapping),
                namespace=config.namespace.strip("/"),
                use_sim_time=config.use_sim_time,
                max_age=config.max_age,
                wait=config.wait,
            ),
        )

    @cached_property
    def action_features(self) -> dict[str, type]:
        """The robot's: a position per joint [rad or m], and nine entries of an arm that takes poses."""
        return {f"{name}.pos": float for name in self.contract.layout.names}

    @property
    def feedback_features(self) -> dict[str, type]:
        """None: nothing is sent back."""
        return {}

    @property
    def is_connected(self) -> bool:
        """Whether it listens."""
        return self.reader.connected

    @property
    def is_calibrated(self) -> bool:
        """The mapping says what its values mean."""
        return True

    def connect(self, calibrate: bool = True) -> None:
        """Listen."""
        if self.is_connected:
            raise DitPolicyError(f"{self} is connected already")
        self.reader.connect()

    def calibrate(self) -> None:
        """Nothing to do: the mapping has it."""

    def configure(self) -> None:
        """Nothing to do."""

    def get_action(self) -> dict[str, float]:
        """The newest command; waits while the operator is silent.

        Raises:
            DitPolicyError: he stays silent, or his messages cannot be used.
        """
        entries = self.contract.layout.to_entries(self.reader.newest())  # (E,)
        return {name: float(value) for name, value in zip(self.action_features, entries, strict=True)}

    def send_feedback(self, feedback: dict[str, Any]) -> None:
        """Nothing is sent back."""

    def disconnect(self) -> None:
        """Listen no more."""
        self.reader.close()
