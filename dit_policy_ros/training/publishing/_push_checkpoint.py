# SPDX-License-Identifier: Apache-2.0
"""Puts a checkpoint on the hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_policy_ros.data.hub import Repository
from dit_policy_ros.policy.checkpoint import find_checkpoint
from dit_policy_ros.training.publishing._model_card import model_card

_FOLDERS = ("clip/",)


def push_checkpoint(
    checkpoint: Path, repository: Repository, evaluation: Mapping[str, Any] | None = None
) -> str:
    """Put a checkpoint's files on the hub, with a model card; returns the repository's page.

    Args:
        checkpoint: its folder.
        repository: created if it is not there.
        evaluation: see ``model_card``.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        HubError: the hub refuses it or cannot be reached.
    """
    folder = find_checkpoint(checkpoint)
    files: dict[str, Path | bytes] = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    files["README.md"] = model_card(folder, repository.name, evaluation).encode()
    repository.check_login()
    repository.create()
    return repository.push(files, "Upload of the checkpoint", owned=_FOLDERS)
