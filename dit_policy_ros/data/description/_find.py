# SPDX-License-Identifier: Apache-2.0
"""Finds a dataset by the path of its folder, or by its id on the Hugging Face hub."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.description._files import INFO_FILE
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, quiet_lerobot

VIDEO_FOLDER = "videos"
# The folder of huggingface_hub's cache.
_SNAPSHOT = re.compile(
    r"/datasets--(?P<owner>[\w.-]+?)--(?P<name>[\w.-]+)/snapshots/(?P<commit>[0-9a-f]{40})$"
)
_HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubSnapshot:
    """A dataset on the hub: its id and commit."""

    repository: str
    commit: str


def hub_snapshot(root: Path) -> HubSnapshot | None:
    """What the hub has of a folder that was downloaded from it; None for any other folder."""
    match = _SNAPSHOT.search(str(root))
    return HubSnapshot(f"{match['owner']}/{match['name']}", match["commit"]) if match else None


def find_dataset(name: Path | str, videos: bool = True) -> Path:
    """The absolute folder of a dataset.

    Args:
        name: a path; or, if no such folder exists, ``owner/name`` or ``owner/name@revision`` on the hub. That
            is looked for where LeRobot keeps its datasets, and else downloaded to there.
        videos: whether to download videos as well. Without them, ``read_demonstrations(stream=True)`` reads
            from the hub what it needs of them.

    Raises:
        DatasetError: the id is in none of these places, and the hub cannot be reached or does not have it. A
            path that is not there is left to whoever reads it.
    """
    path, match = Path(name).expanduser(), _HUB_ID.fullmatch(str(name))
    if path.exists() or match is None:
        return path.resolve()
    with preserve_root_logger(), quiet_lerobot():
        from lerobot.utils.constants import HF_LEROBOT_HOME
    local = HF_LEROBOT_HOME / match["id"]
    if match["revision"] is None and (local / INFO_FILE).is_file():
        return local.resolve()
    return _download(path, match["id"], match["revision"], videos)


def _download(path: Path, repository: str, revision: str | None, videos: bool) -> Path:
    import httpx
    from huggingface_hub import snapshot_download
    from lerobot.datasets.dataset_metadata import CODEBASE_VERSION
    from lerobot.datasets.utils import CompatibilityError, get_safe_version
    from lerobot.utils.constants import HF_LEROBOT_HOME, HF_LEROBOT_HUB_CACHE

    # ValueError: the id breaks the hub's rules. RuntimeError: no tag names LeRobot's version.
    failures = (OSError, ValueError, RuntimeError, httpx.HTTPError, CompatibilityError)
    options: dict[str, Any] = {"repo_type": "dataset", "cache_dir": HF_LEROBOT_HUB_CACHE}
    if not videos:
        options["ignore_patterns"] = [f"{VIDEO_FOLDER}/*"]
    try:
        with quiet_lerobot():
            wanted = revision or get_safe_version(repository, CODEBASE_VERSION)
            folder = snapshot_download(repository, revision=wanted, **options)
    except failures as failure:
        try:
            known = revision or CODEBASE_VERSION
            folder = snapshot_download(repository, revision=known, local_files_only=True, **options)
        except failures:
            reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
            raise DatasetError(
                f"dataset {repository}: there is no folder {path.absolute()}, the dataset of this id is not "
                f"in {HF_LEROBOT_HOME}, and it could not be downloaded: {reason}. On a machine with internet "
                f"access run `hf download {repository} --repo-type dataset --revision {known} --local-dir "
                f"FOLDER`, copy FOLDER here and give its path"
            ) from failure
    logger.info("dataset %s is %s", repository, folder)
    return Path(folder).resolve()
