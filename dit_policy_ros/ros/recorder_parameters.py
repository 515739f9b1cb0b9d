# SPDX-License-Identifier: Apache-2.0
"""Parameters of the recorder node, beside the robot contract."""

from dit_policy_ros.ros.parameter_table import Parameter

COMMANDED, LEADER = "commanded", "leader"

RECORDER_PARAMETERS = (
    Parameter(
        "dataset",
        str,
        "",
        "folder of the LeRobot dataset; created, or extended if it was recorded with this contract",
        read_only=True,
    ),
    Parameter(
        "action.source",
        str,
        COMMANDED,
        "action of a frame: what the controllers were commanded, or where the joints of a leader arm are",
        choices=(COMMANDED, LEADER),
        read_only=True,
    ),
    Parameter(
        "action.leader_topic",
        str,
        "leader/joint_states",
        "sensor_msgs/JointState of the leader, with the contract's joint names",
        read_only=True,
    ),
    Parameter(
        "min_free_space",
        float,
        1000.0,
        "with less free space on the dataset's disk no episode is begun",
        unit="MB",
        low=0.0,
    ),
)
