# SPDX-License-Identifier: Apache-2.0
"""Makes this project's engine of a policy that LeRobot has loaded."""

import torch

from dit_policy_ros.policy.checkpoint import Checkpoint
from dit_policy_ros.policy.inference import (
    DiTRuntime,
    InferenceSettings,
    choose_backend,
    parameters_of_a_chunk,
    read_schedule,
)
from dit_policy_ros.policy.sampling import ContinuationOptions, check_guidance_scale
from lerobot_policy_dit_policy_ros.configuration_dit_policy_ros import DitPolicyRosConfig


def make_runtime(config: DitPolicyRosConfig, checkpoint: Checkpoint, device: torch.device) -> DiTRuntime:
    """The engine, with the options of ``load_policy`` that LeRobot's configuration has.

    Raises:
        CheckpointError: an option is invalid, or impossible with this network or on this device.
    """
    reuse = ContinuationOptions(
        config.warm_start, config.rtc_config is not None and bool(config.rtc_config.enabled)
    )
    reuse.check(checkpoint.config)
    parameters = parameters_of_a_chunk(checkpoint.policy)
    backend = choose_backend(config.inference_backend, config.inference_dtype, device, parameters)
    scale = check_guidance_scale(config.guidance_scale)
    schedule = read_schedule(checkpoint.folder, checkpoint.config) if config.block_cache else None
    return DiTRuntime(
        checkpoint, InferenceSettings(device, backend, scale, reuse, schedule, config.unseen_state)
    )
