# SPDX-License-Identifier: Apache-2.0
"""Tensors of which each process holds a part (torch's DTensor), and ordinary ones, in the same way."""

from collections.abc import Mapping

from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def local_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; it shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The tensor with all processes' parts. Every process must call it, as it communicates for parts."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather(tensors: Mapping[str, Tensor], is_main: bool) -> dict[str, Tensor]:
    """The tensors, with whole copies on the CPU of those in parts; the main process alone gets them.

    Every process must call it with the same names. One tensor at a time is whole on the device.
    """
    gathered = {}
    for name, tensor in tensors.items():
        complete = whole(tensor).cpu() if isinstance(tensor, DTensor) else tensor
        if is_main:
            gathered[name] = complete
    return gathered


def distribute_like(tensor: Tensor, like: object) -> Tensor:
    """This process's part of a tensor that every process has, cut as ``like``; it does not communicate.

    A tensor whose counterpart is not cut stays as it is.
    """
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    part = tensor.to(like.device)
    return distribute_tensor(part, like.device_mesh, like.placements, src_data_rank=None)
