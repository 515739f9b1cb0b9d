# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are named by their id on the Hugging Face hub."""

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
NOT_WANTED = ("checkpoints/*", "training_state/*")  # what a training run leaves beside the policy

logger = logging.getLogger(__name__)


def is_hub_id(name: str) -> bool:
    """Whether ``name`` could be ``owner/name`` or ``owner/name@revision``; a relative path can be so too."""
    return HUB_ID.fullmatch(name) is not None


def download(name: str) -> Path:
    """The local folder of a checkpoint on the hub: its newest state, or the cached one while offline.

    Args:
        name: ``owner/name``, or ``owner/name@revision`` for a branch, a tag or a commit.

    Raises:
        CheckpointError: it is neither on the hub nor whole in the cache, or the hub cannot be reached.
    """
    match = HUB_ID.fullmatch(name)
    if match is None:
        raise CheckpointError(f"checkpoint {name!r}: expected a hub id owner/name or owner/name@revision")
    # A commit never changes: what the cache has of it needs no network. A branch is asked for its newest
    # state first; huggingface_hub falls back on the cache by itself.
    failure: Exception = OSError("nothing was tried")
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
        # ValueError: an id that the hub's own rules refuse; httpx: a proxy that does not answer.
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
        f"checkpoint {name!r}: there is no folder {os.path.abspath(name)}, and as the id of a model on the "
        f"hub ({constants.ENDPOINT}) it could not be had: {reason}{offline}. Looked for a cached copy in "
        f"{constants.HF_HUB_CACHE}. Give the path of a folder instead, or, on a machine with internet "
        f"access, `hf download {repository} --local-dir FOLDER`, copy FOLDER here and give its path"
    )
