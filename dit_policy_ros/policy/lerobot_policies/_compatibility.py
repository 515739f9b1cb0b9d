# SPDX-License-Identifier: Apache-2.0
"""LeRobot with versions of its libraries that are newer than those it asks for."""

import contextlib
import inspect
from collections.abc import Iterator
from importlib import metadata
from typing import Any
from unittest.mock import patch

from lerobot.policies import pi_gemma
from packaging.requirements import InvalidRequirement, Requirement
from transformers import Cache
from transformers.masking_utils import create_causal_mask

_LIBRARIES = ("torch", "torchvision", "transformers", "diffusers")
_MASK_OPTIONS = frozenset(inspect.signature(create_causal_mask).parameters)


def version_hint() -> str:
    """Which installed libraries LeRobot was not written for, and what it asks for; empty if none."""
    differing = []
    for text in metadata.requires("lerobot") or ():
        try:
            wanted = Requirement(text)
            installed = metadata.version(wanted.name) if wanted.name in _LIBRARIES else ""
        except (InvalidRequirement, metadata.PackageNotFoundError):
            continue
        if installed and not wanted.specifier.contains(installed, prereleases=True):
            differing.append(f"{wanted.name}{wanted.specifier}, but {installed} is installed")
    if not differing:
        return ""
    return f". LeRobot {metadata.version('lerobot')} asks for {'; '.join(dict.fromkeys(differing))}"


@contextlib.contextmanager
def older_transformers() -> Iterator[None]:
    """Let LeRobot's policies call transformers as before version 5.6.

    smolvla gives ``Cache.crop`` the length to keep; newer versions take the number of tokens to remove, as a
    negative number, and refuse a positive one. pi0 and pi05 give ``create_causal_mask`` an argument that
    newer versions do not have; with the mask of four axes that these policies make it had no effect.
    """
    crop = Cache.crop

    def crop_to(cache: Cache, length: int) -> None:
        if length <= 0:
            crop(cache, length)
            return
        for layer in cache.layers:  # smolvla extends the cache of some layers only
            kept = layer.get_seq_length()  # type: ignore[attr-defined]
            if length < kept:
                layer.crop(length - kept)  # type: ignore[attr-defined]

    def causal_mask(**options: Any) -> Any:
        return create_causal_mask(**{name: options[name] for name in options if name in _MASK_OPTIONS})

    with patch.object(Cache, "crop", crop_to), patch.object(pi_gemma, "create_causal_mask", causal_mask):
        yield
