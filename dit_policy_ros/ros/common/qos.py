# SPDX-License-Identifier: Apache-2.0
"""Quality of service of every kind of topic, in one place."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(reliability: ReliabilityPolicy, depth: int) -> QoSProfile:
    return QoSProfile(
        reliability=reliability,
        durability=DurabilityPolicy.VOLATILE,
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
    )


# Best effort subscriptions match reliable publishers too. Depths cover half a second of being busy elsewhere.
IMAGES = _profile(ReliabilityPolicy.BEST_EFFORT, 15)
JOINT_STATES = _profile(ReliabilityPolicy.BEST_EFFORT, 500)

# For whoever wants the present and has no use for a backlog, however busy it is.
NEWEST = _profile(ReliabilityPolicy.BEST_EFFORT, 2)

# A trajectory controller subscribes reliably; only the newest plan matters. With a depth of 1 Fast DDS asks
# for an acknowledgement with every message (measured: it is there after 5 ms), so a lost one is sent again at
# once; with a depth of 2 it asks every 3 s.
TRAJECTORIES = _profile(ReliabilityPolicy.RELIABLE, 1)

# What an observer of commands (the recorder, a simulator that waits for its operator) must see completely.
COMMANDS = _profile(ReliabilityPolicy.RELIABLE, 100)

CLOCK = _profile(ReliabilityPolicy.RELIABLE, 10)  # subscribers of /clock have either reliability
STATUS = _profile(ReliabilityPolicy.RELIABLE, 1)
DIAGNOSTICS = _profile(ReliabilityPolicy.RELIABLE, 10)
