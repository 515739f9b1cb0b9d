# SPDX-License-Identifier: Apache-2.0
"""Still images of random scenes, with labels of what is in them.

They teach a vision encoder where things are.
"""

from dit_policy_ros.sim.stills._cube_views import VIEW
from dit_policy_ros.sim.stills._stills import (
    NAMED_WEIGHTS,
    PICTURE_WEIGHTS,
    Stills,
    named_targets,
    picture_targets,
    pose_errors,
    random_stills,
    view_errors,
    wrists_with_more_cubes,
)

__all__ = [
    "NAMED_WEIGHTS",
    "PICTURE_WEIGHTS",
    "VIEW",
    "Stills",
    "named_targets",
    "picture_targets",
    "pose_errors",
    "random_stills",
    "view_errors",
    "wrists_with_more_cubes",
]
