# SPDX-License-Identifier: Apache-2.0
"""The figures of a run at Weights & Biases (wandb), which is an optional package.

Its own settings choose account, project and mode: WANDB_MODE=offline writes to the run's folder only,
and needs no account.
"""

import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.training.errors import TrainingError

ID_FILE = "wandb_run_id.txt"
PROJECT = "dit_policy_ros"  # unless WANDB_PROJECT names another
_OFFLINE = "or set WANDB_MODE=offline, which needs no account and writes to the run's folder"

logger = logging.getLogger(__name__)


def check_wandb() -> None:
    """Find out whether a run can be logged, before it begins.

    Raises:
        TrainingError: the package is not installed, or nobody is logged in and the mode is not offline.
    """
    wandb = _import_wandb()
    if wandb.setup().settings.mode != "online":
        return
    try:
        is_logged_in = wandb.login(prompt=False, verify=True)
    except (wandb.Error, OSError, ValueError) as error:
        raise TrainingError(
            f"--wandb: the login was refused, or the server could not be reached: {_first_line(error)}. Run "
            f"`wandb login` again, {_OFFLINE}"
        ) from error
    if not is_logged_in:
        raise TrainingError(f"--wandb: nobody is logged in. Run `wandb login`, {_OFFLINE}")


class WandbLog:
    """Sends a run's figures. A resumed run goes on in the same plots."""

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        """Begin to log.

        Args:
            folder: of the run; gets wandb's own files and the run's identity.
            options: of the run, to be shown there.

        Raises:
            TrainingError: the package is not installed, or the run could not be registered.
        """
        self._wandb = _import_wandb()
        folder.mkdir(parents=True, exist_ok=True)
        identity = folder / ID_FILE
        if not identity.is_file():
            write_atomically(identity, secrets.token_hex(4) + "\n")
        try:
            self._run = self._wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=folder.name,
                id=identity.read_text().strip(),
                resume="allow",
                dir=str(folder),
                config=dict(options),
            )
            # A resumed run may begin before the last logged step, which wandb's own counter would refuse.
            self._run.define_metric("step")
            self._run.define_metric("*", step_metric="step")
        except (self._wandb.Error, OSError, ValueError) as error:
            raise TrainingError(
                f"--wandb: the run could not be registered: {_first_line(error)}. Check the connection, "
                f"{_OFFLINE}"
            ) from error

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Send figures by name. If that fails, training goes on without it, and a warning says so."""
        if self._run is None:
            return
        try:
            self._run.log({**values, "step": step})
        except (self._wandb.Error, OSError, ValueError) as error:
            logger.warning("--wandb: nothing more is sent after step %d: %s", step, _first_line(error))
            self._run = None

    def close(self) -> None:
        """Send what is left."""
        if self._run is not None:
            self._run.finish()
            self._run = None


def _import_wandb() -> Any:
    try:
        import wandb  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise TrainingError(
            f"--wandb: the package wandb cannot be imported ({error}). Run `pip install .[wandb]` in the "
            f"checkout, or leave --wandb out: TensorBoard's files and log.jsonl are written in any case"
        ) from error
    return wandb


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
