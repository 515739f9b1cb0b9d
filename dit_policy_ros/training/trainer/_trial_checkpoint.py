# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that is written and loaded before the first step, as the policy node would load it.

What makes a checkpoint useless (names that do not fit the entries, images that the encoder does not read, a
full disk) is then known after seconds, not after hours of training.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.training.errors import TrainingError


def try_checkpoint(place: Path, write: Callable[[Path], None]) -> None:
    """Write a checkpoint, load it and infer one chunk; the files are removed again.

    torch's global random generators do not change.

    Args:
        place: a folder to write to, on the disk of the run; it must not exist.
        write: writes the policy's checkpoint into the folder that it is given.

    Raises:
        TrainingError: the checkpoint cannot be loaded, or its policy cannot infer.
    """
    missing = [folder for folder in place.parents if not folder.exists()]
    try:
        write(place)
        with torch.random.fork_rng():
            policy = load_policy(place, "cpu", sampling_steps=1)
            policy.warm_up(1)
    except (DitPolicyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"the policy that this run would write cannot be loaded, so nothing has been trained: "
            f"{str(error).replace(str(place), place.name)}"
        ) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
        for folder in missing:  # innermost first
            with suppress(OSError):
                folder.rmdir()
