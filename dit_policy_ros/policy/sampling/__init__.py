# SPDX-License-Identifier: Apache-2.0
"""From noise to actions: diffusion and flow matching.

Guidance, real-time chunking and warm starts change how a sample is drawn.
"""

from dit_policy_ros.policy.sampling._diffusion import DiffusionObjective
from dit_policy_ros.policy.sampling._flow_matching import FlowMatchingObjective
from dit_policy_ros.policy.sampling._guidance import NO_GUIDANCE, check_guidance_scale, guided
from dit_policy_ros.policy.sampling._loss import DEVIATIONS
from dit_policy_ros.policy.sampling._real_time_chunking import KnownActions, guide_velocity, inpaint
from dit_policy_ros.policy.sampling._reuse import Reuse, known_actions
from dit_policy_ros.policy.sampling._sampler import Predict, predictor, time_tensor
from dit_policy_ros.policy.sampling._warm_start import warm_start

__all__ = [
    "DEVIATIONS",
    "NO_GUIDANCE",
    "DiffusionObjective",
    "FlowMatchingObjective",
    "KnownActions",
    "Predict",
    "Reuse",
    "check_guidance_scale",
    "guide_velocity",
    "guided",
    "inpaint",
    "known_actions",
    "predictor",
    "time_tensor",
    "warm_start",
]
