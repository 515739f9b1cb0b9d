# SPDX-License-Identifier: Apache-2.0
"""The processors of our policy type: LeRobot's own steps, so that they save and load as LeRobot's do."""

import copy
from typing import Any

from lerobot.policies.multi_task_dit.processor_multi_task_dit import make_multi_task_dit_pre_post_processors

from lerobot_policy_dit_policy_ros.configuration_dit_policy_ros import DitPolicyRosConfig


def make_dit_policy_ros_pre_post_processors(
    config: DitPolicyRosConfig, dataset_stats: dict[str, dict[str, Any]] | None = None
) -> tuple[Any, Any]:
    """Both pipelines. LeRobot calls this by its name for a new policy.

    Args:
        config: the policy's options.
        dataset_stats: by feature and name. The policy has prepared them, see ``training_statistics``.
    """
    from dit_policy_ros.policy.encoders import packaged_place

    found = copy.copy(config)  # a package's name is none that transformers knows
    found.text_encoder_name = packaged_place(config.text_encoder_name)
    return make_multi_task_dit_pre_post_processors(found, dataset_stats)
