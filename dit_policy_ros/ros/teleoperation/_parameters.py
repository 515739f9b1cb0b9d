# SPDX-License-Identifier: Apache-2.0
"""Parameters of a node whose arms a person can take over."""

from dit_policy_ros.core.takeover import TakeoverMode
from dit_policy_ros.ros.common import Parameter
from dit_policy_ros.ros.teleoperation._converters import ARRAY, COMMAND, LEADER, TRAJECTORY

TAKEOVER_PARAMETERS = (
    Parameter(
        "takeover.source",
        str,
        "none",
        "what a person takes over with; none, leader: the joints of leader arms, with their own stamps, "
        "joint_state, array: sensor_msgs/JointState or std_msgs/Float64MultiArray on a command topic, "
        "trajectory: trajectory_msgs/JointTrajectory of a teleoperation",
        choices=("none", LEADER, COMMAND, ARRAY, TRAJECTORY),
        fixed=True,
    ),
    Parameter("takeover.topic", str, "leader/joint_states", "topic of the leader", fixed=True),
    Parameter(
        "takeover.topics",
        tuple,
        ("",),
        "topics of a leader (source leader or trajectory), if they are several: they count instead of "
        "takeover.topic, and each has some of the joints",
        fixed=True,
    ),
    Parameter(
        "takeover.prefixes",
        tuple,
        ("",),
        "by topic of takeover.topics, what is put before the names in its messages: arms with equal joint "
        "names are told apart by it",
        fixed=True,
    ),
    Parameter(
        "takeover.mapping",
        tuple,
        ("",),
        "maps the leader's names or units to the contract's joints, as action.mapping of the recorder",
        fixed=True,
    ),
    Parameter(
        "takeover.controllers",
        tuple,
        ("",),
        "controllers whose joints the leader moves; empty: all of the contract",
        fixed=True,
    ),
    Parameter(
        "takeover.mode",
        str,
        TakeoverMode.CLUTCH.value,
        "clutch: the arms make the leader's motion from where they are; match: the arms wait until the "
        "leader is where they are, then go where it is",
        choices=tuple(mode.value for mode in TakeoverMode),
        fixed=True,
    ),
    Parameter(
        "takeover.tolerance",
        float,
        0.1,
        "match: how close each joint of the leader must come; a gripper, a fifth of its range",
        "rad",
        0.001,
        1.0,
        fixed=True,
    ),
    Parameter(
        "takeover.tolerance_prismatic",
        float,
        0.02,
        "takeover.tolerance of joints that slide (limits.<joint>.prismatic)",
        "m",
        0.0001,
        1.0,
        fixed=True,
    ),
    Parameter(
        "takeover.timeout",
        float,
        0.2,
        "HOLD if a leader that drives the arms is silent for this long",
        "s",
        0.02,
        2.0,
        fixed=True,
    ),
    Parameter(
        "takeover.by_motion",
        float,
        0.0,
        "a person takes over by moving a joint of the resting leader by this share of its range within half "
        "a second; 0: by ~/take_over and the button only",
        low=0.0,
        high=1.0,
        fixed=True,
    ),
    Parameter("joy.topic", str, "", "topic of sensor_msgs/Joy of a pedal; empty: none", fixed=True),
    Parameter(
        "joy.take_over",
        int,
        -1,
        "button by which a person takes over, and hands back if joy.hand_back is none; -1: none",
        low=-1,
        high=64,
        fixed=True,
    ),
    Parameter(
        "joy.hand_back",
        int,
        -1,
        "button that hands back to the policy; -1: none",
        low=-1,
        high=64,
        fixed=True,
    ),
)
