# SPDX-License-Identifier: Apache-2.0
"""What several commands share: options and the progress bar."""

from dit_policy_ros.cli.common._completion import command_before, complete, set_completer
from dit_policy_ros.cli.common._json_output import add_json_option, message_console, print_json
from dit_policy_ros.cli.common._options import (
    add_checkpoint_option,
    add_device_option,
    add_domain_option,
    add_task_option,
    add_variation_options,
    add_worker_options,
    number_between,
    read_variation,
    read_workers,
    ros_name,
    whole_number,
)
from dit_policy_ros.cli.common._parser import USAGE_ERROR, CommandParser, help_width, reflow
from dit_policy_ros.cli.common._renamed_options import refuse_positionals, refuse_renamed_options
from dit_policy_ros.training.progress import progress_bar

__all__ = [
    "USAGE_ERROR",
    "CommandParser",
    "add_checkpoint_option",
    "add_device_option",
    "add_domain_option",
    "add_json_option",
    "add_task_option",
    "add_variation_options",
    "add_worker_options",
    "command_before",
    "complete",
    "help_width",
    "message_console",
    "number_between",
    "print_json",
    "progress_bar",
    "read_variation",
    "read_workers",
    "reflow",
    "refuse_positionals",
    "refuse_renamed_options",
    "ros_name",
    "set_completer",
    "whole_number",
]
