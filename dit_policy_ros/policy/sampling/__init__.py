# SPDX-License-Identifier: Apache-2.0
"""Training losses and samplers: diffusion and flow matching.

Classifier-free guidance, real-time chunking, given actions and warm starts modify the sampling.
"""

from dit_policy_ros.policy.sampling._diffusion import DiffusionObjective
from dit_policy_ros.policy.sampling._flow_matching import FlowMatchingObjective
from dit_policy_ros.policy.sampling._given import draw_given, with_marks
from dit_policy_ros.policy.sampling._given_actions import committed_rows, given_actions
from dit_policy_ros.policy.sampling._guidance import (
    GUIDANCE_OFF,
    check_guidance_scale,
    classifier_free_guidance,
)
from dit_policy_ros.policy.sampling._loss import ELEMENTWISE_LOSSES, masked_mean
from dit_policy_ros.policy.sampling._predictor import Predictor, make_predictor, time_tensor
from dit_policy_ros.policy.sampling._previous_chunk import (
    ActionPrefix,
    ContinuationOptions,
    action_prefix,
    warm_start,
)
from dit_policy_ros.policy.sampling._real_time_chunking import inpaint, prefix_guidance

__all__ = [
    "ELEMENTWISE_LOSSES",
    "GUIDANCE_OFF",
    "ActionPrefix",
    "ContinuationOptions",
    "DiffusionObjective",
    "FlowMatchingObjective",
    "Predictor",
    "action_prefix",
    "check_guidance_scale",
    "classifier_free_guidance",
    "committed_rows",
    "draw_given",
    "given_actions",
    "inpaint",
    "make_predictor",
    "masked_mean",
    "prefix_guidance",
    "time_tensor",
    "warm_start",
    "with_marks",
]
