# SPDX-License-Identifier: Apache-2.0
"""Lets a trained policy understand its instructions in other words."""

from pathlib import Path

from dit_policy_ros.core.wordings import WORDINGS_FILE, WordingModel
from dit_policy_ros.policy.checkpoint import find_folder, read_known_tasks
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.wordings._model import fit_wordings
from dit_policy_ros.training.wordings._reader import read_wordings


def teach_wordings(checkpoint: str | Path, paraphrases: str | Path) -> tuple[Path, WordingModel]:
    """Write what other wordings mean into a checkpoint's folder.

    Args:
        checkpoint: the folder; one that is there is replaced.
        paraphrases: the file of other wordings.

    Returns:
        The file that was written, and what it contains.

    Raises:
        CheckpointError: there is no such checkpoint.
        TrainingError: the checkpoint does not list its tasks, or the file does not fit them.
        OSError: the folder cannot be written.
    """
    folder = find_folder(checkpoint)
    tasks = read_known_tasks(folder)
    if not tasks:
        raise TrainingError(
            f"{folder} does not list the tasks that it was trained on, so there is nothing to teach other "
            f"wordings of; known_tasks in its dit_policy_ros.json names them"
        )
    model = fit_wordings(read_wordings(paraphrases).of_all(tasks))
    model.write(folder)
    return folder / WORDINGS_FILE, model
