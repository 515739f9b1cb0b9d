# SPDX-License-Identifier: Apache-2.0
"""What several commands share: options and the progress bar."""

from dit_policy_ros.cli.common._options import (
    add_checkpoint_option,
    add_device_option,
    add_domain_option,
    add_task_option,
    add_variation_options,
    read_variation,
)
from dit_policy_ros.cli.common._progress import progress_bar

__all__ = [
    "add_checkpoint_option",
    "add_device_option",
    "add_domain_option",
    "add_task_option",
    "add_variation_options",
    "progress_bar",
    "read_variation",
]
