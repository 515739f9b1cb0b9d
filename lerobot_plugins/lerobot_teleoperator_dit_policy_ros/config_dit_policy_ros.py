# SPDX-License-Identifier: Apache-2.0
"""The options of a teleoperator on a topic."""

from dataclasses import dataclass, field
from pathlib import Path

from lerobot.teleoperators.config import TeleoperatorConfig


@TeleoperatorConfig.register_subclass("dit_policy_ros")
@dataclass(kw_only=True)
class DitPolicyRosTeleoperatorConfig(TeleoperatorConfig):
    """``--teleop.type=dit_policy_ros --teleop.contract=my_robot.yaml --teleop.topic=leader/joint_states``.

    Attributes:
        contract: parameter file of the robot that is operated.
        topic: of the leader arm or the commands.
        kind: joint_state (sensor_msgs/JointState), array (std_msgs/Float64MultiArray), or joy
            (sensor_msgs/Joy, whose axes are velocities).
        mapping: joints with other names or units, each "JOINT = SOURCE * SCALE + OFFSET"; of an array and a
            joy the source is the index. Joints that are not mapped to an axis of a joy stand.
        namespace: of the topics.
        use_sim_time: whether the time is simulated.
        max_age: older commands are no commands [s].
        wait: how long an action may take when the operator is silent [s].
    """

    contract: Path
    topic: str = "leader/joint_states"
    kind: str = "joint_state"
    mapping: list[str] = field(default_factory=list)
    namespace: str = ""
    use_sim_time: bool = False
    max_age: float = 0.5
    wait: float = 10.0
