# SPDX-License-Identifier: Apache-2.0
"""What must be in order before an episode begins, besides the streams."""

import shutil
from pathlib import Path

from dit_policy_ros.core.errors import TaskError
from dit_policy_ros.core.policy_interface import check_task
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.dataset import nearest_existing
from dit_policy_ros.ros.recorder._state import Configured

_MEGABYTE = 1e6


def start_problems(configured: Configured, task: str, countdown: float) -> list[str]:
    """Why no episode can begin now, each with its remedy; empty if one can.

    Args:
        configured: the recorder's configuration.
        task: the instruction of the episode.
        countdown: time left to reset the scene [s].
    """
    problems = []
    try:
        check_task(task)
    except TaskError as error:
        problems.append(str(error))
    if configured.sink.interrupted:
        problems.append(
            f"a crash interrupted: {listing(map(str, configured.sink.interrupted))}; call ~/recover with "
            "data: true to keep or data: false to discard"
        )
    if countdown > 0.0:
        problems.append(f"the scene is being reset: {countdown:.1f} s of reset_time are left")
    free, least = free_space(configured.folder), configured.settings["min_free_space"]  # [MB]
    if free < least:
        problems.append(
            f"disk: {free:.0f} MB are free for {configured.folder}, but min_free_space is {least:g} MB"
        )
    return problems


def free_space(folder: Path) -> float:
    """Free space on a folder's disk [MB]; the folder need not exist yet."""
    return shutil.disk_usage(nearest_existing(folder)).free / _MEGABYTE
