# SPDX-License-Identifier: Apache-2.0
"""Recovers the episodes that a crash left in a dataset's journal; needs no recorder and no robot contract."""

from pathlib import Path

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import JOURNAL_FOLDER, check_writable
from dit_policy_ros.data.lerobot_calls import preserve_root_logger
from dit_policy_ros.data.lock import DatasetLock
from dit_policy_ros.data.recording._committer import Committer
from dit_policy_ros.data.recording._recovery import (
    discard_interrupted,
    find_episodes,
    keep_interrupted,
    pending_episodes,
)


def recover_offline(root: Path, keep: bool) -> int:
    """Commits the saved episodes in the journal, and commits or removes the interrupted ones.

    Args:
        root: the dataset.
        keep: commit interrupted episodes, marked as failed, instead of removing them.

    Returns:
        How many episodes were committed.

    Raises:
        DatasetError: the dataset is being recorded, or an episode cannot be committed.
    """
    check_writable(root)
    if not pending_episodes(root):
        return 0
    with preserve_root_logger():
        import lerobot.datasets  # noqa: F401 - the first import adds handlers to the root logger
    lock = DatasetLock(root / JOURNAL_FOLDER / "lock", root)
    try:
        saved, interrupted = find_episodes(root)
        if keep:
            saved += keep_interrupted(interrupted)
        else:
            discard_interrupted(interrupted)
        Committer(root, 0, saved, background=False).close()
    except OSError as error:
        raise DatasetError(f"dataset {root} could not be recovered: {error}") from error
    finally:
        lock.release()
        if not any((root / JOURNAL_FOLDER).iterdir()):
            (root / JOURNAL_FOLDER).rmdir()
    return len(saved)
