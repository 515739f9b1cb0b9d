# SPDX-License-Identifier: Apache-2.0
"""Whether the policy may be expected to understand an instruction, and what is said about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dit_policy_ros.core.errors import TaskError
from dit_policy_ros.core.policy_interface import Familiarity, check_task
from dit_policy_ros.core.problems import did_you_mean, listing
from dit_policy_ros.ros.inference_link._remote_node import InferenceError
from dit_policy_ros.ros.inference_protocol import PolicyDescription

WARN = "warn"
"""The value of ``unknown_tasks`` with which unfamiliar instructions are followed."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An instruction that may be followed.

    task: the instruction that the policy is given: the known one that was meant in other words, or as it is.
    familiarity: None if the checkpoint cannot tell. is_known: whether it may be expected to be understood.
    note: what to say about it, to be put behind a sentence.
    """

    task: str
    familiarity: Familiarity | None
    is_known: bool
    note: str = ""


class UnfamiliarTaskError(TaskError):
    """An instruction that is unlike all of the training. nearest: the known ones that it is most like."""

    def __init__(self, message: str, nearest: Sequence[str]) -> None:
        super().__init__(message)
        self.nearest = tuple(nearest)


def judge_instruction(
    task: str, known: Sequence[str], unknown_tasks: str, ask: Callable[[str], Familiarity | None]
) -> Judged:
    """Judge an instruction.

    Args:
        task: the instruction.
        known: those that the checkpoint was trained on; empty if it does not say.
        unknown_tasks: the parameter.
        ask: asks the inference node for the familiarity; None if the checkpoint cannot tell.

    Raises:
        TaskError: it is empty or too long, or unfamiliar while ``unknown_tasks`` is ``refuse``.
    """
    check_task(task, known)
    if not known or task in known:
        return Judged(task, Familiarity(1.0, None, (task,)) if known else None, True)
    hint = known_hint(known, task)
    try:
        found = ask(task)
    except InferenceError as error:
        return Judged(task, None, False, f" (the checkpoint was not trained on it, and {error}{hint})")
    if found is None or found.threshold is None:
        return Judged(task, found, False, f" (the checkpoint was not trained on it{hint})")
    if found.meant in known:
        return Judged(found.meant, found, True, f" (said as {task!r}: {found.describe()})")
    if found.is_familiar:
        return Judged(task, found, True, f" (in other words than the training's: {found.describe()})")
    if unknown_tasks != WARN:
        raise UnfamiliarTaskError(
            f"{task!r} is {'not understood' if found.doubt else 'unlike every instruction of the training'}: "
            f"{found.describe()}. Say it as one of those, or set the parameter unknown_tasks to '{WARN}'",
            found.nearest,
        )
    return Judged(task, found, False, f" (unlike every instruction of the training: {found.describe()})")


def known_hint(known_tasks: Sequence[str], task: str = "") -> str:
    """The known instructions, and which of them was probably meant."""
    near = did_you_mean(task, known_tasks)
    listed = f"; it knows: {', '.join(map(repr, known_tasks))}" if known_tasks else ""
    return f"{listed}.{near}" if near else listed


def summary(policy: PolicyDescription, dt: float) -> str:
    """What was loaded, for who runs the robot: the checkpoint, what it reads, gives and knows.

    dt: time between two actions [s].
    """
    inputs = [*policy.image_shapes, "joint states", *(vector.name for vector in policy.vectors)]
    covered = (policy.rows - 1) * dt  # [s] from the first action to the last
    return (
        f"{policy.checkpoint} on {policy.device} ({policy.backend}); it reads "
        f"{listing(inputs)}, and a chunk covers {covered:.2g} s"
        f"{known_hint(policy.known_tasks)}"
    )
