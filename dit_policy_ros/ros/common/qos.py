# SPDX-License-Identifier: Apache-2.0
"""Quality of service profiles of all topics."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(reliability: ReliabilityPolicy, depth: int) -> QoSProfile:
    return QoSProfile(
        reliability=reliability,
        durability=DurabilityPolicy.VOLATILE,
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
    )


# Best-effort subscriptions match reliable publishers too. The depths buffer half a second of messages, for
# nodes that are busy for that long.
IMAGES = _profile(ReliabilityPolicy.BEST_EFFORT, 15)
JOINT_STATES = _profile(ReliabilityPolicy.BEST_EFFORT, 500)

# For subscribers that need only the latest message and no backlog.
NEWEST = _profile(ReliabilityPolicy.BEST_EFFORT, 2)

# A controller's state is published at its update rate, and only the latest one is of interest.
LATEST_STATE = _profile(ReliabilityPolicy.BEST_EFFORT, 1)

# Trajectory controllers subscribe reliably, and only the newest plan matters. With depth 1 Fast DDS requests
# an acknowledgement with every message (measured: it arrives after 5 ms), so a lost message is sent again at
# once. With depth 2 it requests one every 3 s.
TRAJECTORIES = _profile(ReliabilityPolicy.RELIABLE, 1)

# For nodes that must receive every command: the recorder, and a simulator that waits for its operator.
COMMANDS = _profile(ReliabilityPolicy.RELIABLE, 100)

# The status of an action's goals is latched: late subscribers get the newest one.
ACTION_STATUS = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
)

# Between policy node and inference node. Only the newest request and the newest chunk matter; for depth 1 see
# above. Signs of life are frequent, and a lost one says something, too.
INFERENCE = _profile(ReliabilityPolicy.RELIABLE, 1)
SIGNS_OF_LIFE = _profile(ReliabilityPolicy.BEST_EFFORT, 2)

CLOCK = _profile(ReliabilityPolicy.RELIABLE, 10)  # reliable, because subscribers of /clock may be either
STATUS = _profile(ReliabilityPolicy.RELIABLE, 1)
DIAGNOSTICS = _profile(ReliabilityPolicy.RELIABLE, 10)

# Who drives the joints, at every change: a recorder that starts later gets the newest one, and none is lost.
CONTROL = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    history=HistoryPolicy.KEEP_LAST,
    depth=20,
)
