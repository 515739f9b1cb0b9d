# SPDX-License-Identifier: Apache-2.0
"""Choosing where the network runs."""

import re

import torch

from dit_policy_ros.core.errors import CheckpointError


def resolve_device(name: str) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:<n>"`` into a device.

    ``"auto"`` takes the first GPU and falls back to the CPU.

    Raises:
        CheckpointError: another name, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d+))?", name) if isinstance(name, str) else None
    if match is None:
        raise CheckpointError(f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:<n>', got {name!r}")
    index, count = int(match[1] or 0), torch.cuda.device_count()
    if not torch.cuda.is_available() or index >= count:
        raise CheckpointError(
            f"device: {name!r} was asked for, but torch {torch.__version__} sees {count} CUDA device(s); "
            f"use 'cpu', or 'auto' to fall back by itself"
        )
    return torch.device("cuda", index)
