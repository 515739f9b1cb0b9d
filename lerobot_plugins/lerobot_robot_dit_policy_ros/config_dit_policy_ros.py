# SPDX-License-Identifier: Apache-2.0
"""The options of a robot that a contract describes."""

from dataclasses import dataclass, field
from pathlib import Path

from lerobot.robots.config import RobotConfig


@RobotConfig.register_subclass("dit_policy_ros")
@dataclass(kw_only=True)
class DitPolicyRosRobotConfig(RobotConfig):
    """``--robot.type=dit_policy_ros --robot.contract=my_robot.yaml``.

    Attributes:
        contract: parameter file of the robot, as config/bimanual.yaml.
        camera_names: cameras to read; empty for all of the contract.
        namespace: of the robot's topics.
        node: name of the policy node that moves the robot; its services and status have it.
        use_sim_time: whether the robot's time is simulated.
        delay: from an action to its execution [s]: the plan knows that part of the way ahead.
        silence: without an action for this long the arms hold [s].
        observation_wait: how long an observation may take when a stream is stale [s].
        velocity_scale: fraction of the velocity limits that is used; below 1 for first trials.
        parameters: further ones of the policy node, each NAME:=VALUE.
    """

    contract: Path
    camera_names: list[str] = field(default_factory=list)
    namespace: str = ""
    node: str = "lerobot"
    use_sim_time: bool = False
    delay: float = 0.2
    silence: float = 1.0
    observation_wait: float = 2.0
    velocity_scale: float = 1.0
    parameters: list[str] = field(default_factory=list)
