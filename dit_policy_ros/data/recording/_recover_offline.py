# SPDX-License-Identifier: Apache-2.0
"""Recovers what a crash left in a dataset without a recorder, a robot or its configuration."""

from pathlib import Path

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import JOURNAL, check_place
from dit_policy_ros.data.lock import DatasetLock
from dit_policy_ros.data.quiet import same_root_logger
from dit_policy_ros.data.recording import _recovery as recovery
from dit_policy_ros.data.recording._committer import Committer


def recover_offline(root: Path, keep: bool) -> int:
    """Adds saved episodes to the dataset, and interrupted ones or removes them; returns how many were added.

    Raises DatasetError if the dataset is being recorded, or an episode cannot be added.
    """
    check_place(root)
    if not recovery.left_behind(root):
        return 0
    with same_root_logger():
        import lerobot.datasets  # noqa: F401 - it gives the root logger handlers
    lock = DatasetLock(root / JOURNAL / "lock", root)
    try:
        saved, interrupted = recovery.examine(root)
        if keep:
            saved += recovery.keep(interrupted)
        else:
            recovery.discard(interrupted)
        Committer(root, 0, saved, background=False).close()
    except OSError as error:
        raise DatasetError(f"dataset {root} could not be recovered: {error}") from error
    finally:
        lock.release()
        if not any((root / JOURNAL).iterdir()):
            (root / JOURNAL).rmdir()
    return len(saved)
