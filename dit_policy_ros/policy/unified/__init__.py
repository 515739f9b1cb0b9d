# SPDX-License-Identifier: Apache-2.0
"""One network for several robots: the slots that their joints share, and the export to one of the robots.

Liu et al. 2024 (RDT-1B, arXiv 2410.07864) name the entries of such a vector by what they are physically.
"""

from dit_policy_ros.policy.unified._export import export_policy, export_robot
from dit_policy_ros.policy.unified._robots import (
    ROBOTS_FILE,
    RobotLayout,
    UnifiedRobot,
    read_robots,
    unified_config,
    write_unified_checkpoint,
)
from dit_policy_ros.policy.unified._slots import SLOT_FAMILIES, SLOTS, find_slot

__all__ = [
    "ROBOTS_FILE",
    "SLOTS",
    "SLOT_FAMILIES",
    "RobotLayout",
    "UnifiedRobot",
    "export_policy",
    "export_robot",
    "find_slot",
    "read_robots",
    "unified_config",
    "write_unified_checkpoint",
]
