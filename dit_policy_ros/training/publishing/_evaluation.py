# SPDX-License-Identifier: Apache-2.0
"""Reads the result of an evaluation, for a model card."""

import hashlib
import json
from pathlib import Path
from typing import Any

from dit_policy_ros.policy.checkpoint import WEIGHTS_FILE
from dit_policy_ros.training.errors import TrainingError

_NEEDED = {"weights_sha256", "mode", "episodes", "success_rate", "ci95", "tasks"}


def read_evaluation(path: Path, checkpoint: Path) -> dict[str, Any]:
    """The content of an evaluation's summary.json.

    Args:
        path: the file, or the folder that it is in.
        checkpoint: folder of the policy that was evaluated.

    Raises:
        TrainingError: it is no such file, or the evaluation was of other weights.
    """
    file = path / "summary.json" if path.is_dir() else path
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"--evaluation {path}: cannot read the summary.json of an evaluation: {error}"
        ) from error
    if not isinstance(found, dict) or not found.keys() >= _NEEDED:
        raise TrainingError(
            f"--evaluation {path}: expected the summary.json that `dit_policy evaluate` writes"
        )
    weights = hashlib.sha256((checkpoint / WEIGHTS_FILE).read_bytes()).hexdigest()
    if found["weights_sha256"] != weights:
        raise TrainingError(
            f"--evaluation {path}: it evaluated other weights ({str(found['weights_sha256'])[:12]}) than "
            f"those of {checkpoint} ({weights[:12]}). Evaluate this checkpoint, or name the one that was "
            f"evaluated"
        )
    return found
