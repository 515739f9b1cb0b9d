# SPDX-License-Identifier: Apache-2.0
"""Downloads checkpoints given by their id on the Hugging Face hub."""

import logging
import os
import re
from pathlib import Path

import httpx
from huggingface_hub import constants, snapshot_download

from dit_policy_ros.core.errors import CheckpointError

HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
WANTED = ("*.json", "*.safetensors", "*.txt")
COMPLETE = ("config.json", "model.safetensors")  # a copy without them was never finished
NOT_WANTED = ("checkpoints/*", "training_state/*")  # written by training runs, not needed for inference

logger = logging.getLogger(__name__)


def is_hub_id(name: str) -> bool:
    """Whether ``name`` has the form ``owner/name`` or ``owner/name@revision``, as some relative paths do."""
    return HUB_ID.fullmatch(name) is not None


def download(name: str) -> Path:
    """Download a checkpoint, or find it in the cache; return its local folder.

    Args:
        name: ``owner/name``, or ``owner/name@revision`` for a branch, a tag or a commit. Without a revision a
            complete copy in the cache is used, whatever the hub has by now: a robot moves tomorrow as it does
            today. A branch or a tag is updated to its newest commit, if the hub can be reached.

    Raises:
        CheckpointError: it is not in the cache, and it is not on the hub or the hub cannot be reached.
    """
    match = HUB_ID.fullmatch(name)
    if match is None:
        raise CheckpointError(f"checkpoint {name!r}: expected a hub id owner/name or owner/name@revision")
    revision = match["revision"]
    failure: Exception = OSError("no attempt was made")
    incomplete = None
    cache_first = revision is None or COMMIT.fullmatch(revision) is not None
    for local_files_only in (True, False) if cache_first else (False,):
        try:
            folder = Path(
                snapshot_download(
                    match["id"],
                    revision=revision,
                    allow_patterns=list(WANTED),
                    ignore_patterns=list(NOT_WANTED),
                    local_files_only=local_files_only,
                )
            )
        # ValueError: the id breaks the hub's rules. httpx: a proxy does not answer.
        except (OSError, ValueError, httpx.HTTPError) as error:
            failure = error
            continue
        if local_files_only and not all((folder / file).is_file() for file in COMPLETE):
            incomplete = folder
            continue
        newer = f"; {match['id']}@main asks the hub for a newer one" if revision is None else ""
        logger.info("checkpoint %s is %s%s", name, folder, newer)
        return folder
    if incomplete is not None:
        return incomplete  # what reads it says which files are missing
    raise _unreachable(name, match["id"], failure) from failure


def pinned(name: str) -> str:
    """A checkpoint's name that stays the same weights: a hub id with the commit that it is now.

    The path of a folder, and a name that is neither, are returned as they are.

    Raises:
        CheckpointError: the hub id can be neither found in the cache nor downloaded.
    """
    if Path(name).expanduser().exists() or (match := HUB_ID.fullmatch(name)) is None:
        return name
    commit = download(name).name
    return f"{match['id']}@{commit}" if COMMIT.fullmatch(commit) else name


def _unreachable(name: str, repository: str, error: Exception) -> CheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    offline = "; HF_HUB_OFFLINE is set, so the hub was not asked" if constants.is_offline_mode() else ""
    return CheckpointError(
        f"checkpoint {name!r}: there is no folder {os.path.abspath(name)}, and the model of this id could "
        f"not be downloaded from the hub ({constants.ENDPOINT}): {reason}{offline}. No complete copy is in "
        f"the cache {constants.HF_HUB_CACHE}. Give the path of a folder instead, or run "
        f"`hf download {repository} --local-dir FOLDER` on a machine with internet access, copy FOLDER here "
        f"and give its path"
    )
