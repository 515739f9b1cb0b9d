# SPDX-License-Identifier: Apache-2.0
"""Puts a dataset on the hub."""

from pathlib import Path

from dit_policy_ros.core.atomic_files import make_folders
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.description import JOURNAL_FOLDER, check_readable
from dit_policy_ros.data.hub._dataset_card import dataset_card
from dit_policy_ros.data.hub._repository import Repository
from dit_policy_ros.data.lock import DatasetLock
from dit_policy_ros.data.recording import pending_episodes

_FOLDERS = ("data/", "meta/", "videos/", "images/")


def push_dataset(root: Path, repository: Repository) -> str:
    """Put a dataset's files on the hub, with a card and the tag by which LeRobot finds its version.

    The repository then holds exactly this state of the dataset; earlier ones stay in its history. Nobody can
    record into the dataset meanwhile. Returns the repository's page.

    Raises:
        DatasetError: the dataset cannot be read, is being recorded, or has episodes to recover.
        HubError: the hub refuses it or cannot be reached.
    """
    version = check_readable(root)["codebase_version"]
    if pending_episodes(root):
        raise DatasetError(
            f"dataset {root}: its journal contains episodes; recover them first "
            f"(dit_policy inspect --recover)"
        )
    card = dataset_card(root, repository.name)
    repository.check_login()
    make_folders(root / JOURNAL_FOLDER)
    lock = DatasetLock(root / JOURNAL_FOLDER / "lock", root)
    try:
        files: dict[str, Path | bytes] = {"README.md": card.encode()}
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            inside = path.relative_to(root).as_posix()
            if inside.startswith(_FOLDERS):
                files[inside] = path
        repository.create()
        url = repository.push(files, "Upload of the dataset", owned=_FOLDERS)
        repository.tag(version)
    finally:
        lock.release()
        if not any((root / JOURNAL_FOLDER).iterdir()):
            (root / JOURNAL_FOLDER).rmdir()
    return url
