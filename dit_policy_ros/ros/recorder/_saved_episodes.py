# SPDX-License-Identifier: Apache-2.0
"""What an operator decides about episodes that are saved, or that a crash interrupted."""

from std_srvs.srv import SetBool

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.policy_interface import check_task
from dit_policy_ros.ros.recorder._state import Configured
from dit_policy_ros.srv import RelabelEpisode


def relabel(configured: Configured | None, request: RelabelEpisode.Request) -> str:
    """Do what the request asks for; returns what was done.

    Raises:
        DatasetError: no dataset is open, nothing or no such episode is asked for, or the disk fails.
        TaskError: the instruction is not one.
    """
    if configured is None:
        raise DatasetError("the recorder is not configured: no dataset is open")
    if not (request.set_success or request.task):
        raise DatasetError("nothing to change: give set_success with success_label, or task")
    if request.task:
        check_task(request.task)
    label = request.success_label if request.set_success else None
    configured.writer.relabel(request.episode, label, request.task)
    changes = [] if label is None else [f"success: {str(label).lower()}"]
    changes += [repr(request.task)] if request.task else []
    return f"episode {request.episode} is now {', '.join(changes)}"


def recover(configured: Configured | None, request: SetBool.Request) -> str:
    """Keep (data: true) or discard the interrupted episodes; returns what was done. Raises DatasetError."""
    if configured is None or not configured.sink.interrupted:
        raise DatasetError("no interrupted episode waits for a decision")
    count = configured.writer.resolve_interrupted(request.data)
    return f"interrupted episodes {'kept' if request.data else 'discarded'}: {count}"
