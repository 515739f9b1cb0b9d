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
NOT_WANTED = ("checkpoints/*", "training_state/*")  # written by training runs, not needed for inference

logger = logging.getLogger(__name__)


def is_hub_id(name: str) -> bool:
    """Whether ``name`` has the form ``owner/name`` or ``owner/name@revision``, as some relative paths do."""
    return HUB_ID.fullmatch(name) is not None


def download(name: str) -> Path:
    """Download a checkpoint, or find it in the cache; return its local folder.

    Args:
        name: ``owner/name``, or ``owner/name@revision`` for a branch, a tag or a commit. A branch is updated
            to its newest commit, if the hub can be reached.

    Raises:
        CheckpointError: it is not in the cache, and it is not on the hub or the hub cannot be reached.
    """
    match = HUB_ID.fullmatch(name)
    if match is None:
        raise CheckpointError(f"checkpoint {name!r}: expected a hub id owner/name or owner/name@revision")
    # A commit never changes, so a cached one needs no network. For a branch the hub is asked for the newest
    # commit first; huggingface_hub falls back to the cache by itself.
    failure: Exception = OSError("no attempt was made")
    is_commit = COMMIT.fullmatch(match["revision"] or "") is not None
    for local_files_only in (True, False) if is_commit else (False,):
        try:
            folder = snapshot_download(
                match["id"],
                revision=match["revision"],
                allow_patterns=list(WANTED),
                ignore_patterns=list(NOT_WANTED),
                local_files_only=local_files_only,
            )
        # ValueError: the id breaks the hub's rules. httpx: a proxy does not answer.
        except (OSError, ValueError, httpx.HTTPError) as error:
            failure = error
        else:
            logger.info("checkpoint %s is %s", name, folder)
            return Path(folder)
    raise _unreachable(name, match["id"], failure) from failure


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
