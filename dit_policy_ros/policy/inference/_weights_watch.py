# SPDX-License-Identifier: Apache-2.0
"""Detects a change of a module's weights. The engine asks before every inference."""

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.inference._torch_private import write_counts


class WeightsWatch:
    """Remembers the parameters of a module. Parameters that are added later are not watched.

    The test is cheap where torch counts the writes to a tensor (0.05 ms for the shipped policy). Where it
    does not, the watch keeps a copy of the weights and compares every value.
    """

    def __init__(self, module: nn.Module) -> None:
        """Remember the weights as they are now."""
        # Not Module.parameters(): it builds a name for each parameter and removes duplicates, which takes
        # six times as long, 5% of a small network's inference.
        self._places = [
            (part, name) for part in module.modules() for name, _ in part.named_parameters(recurse=False)
        ]
        tensors = self._tensors()
        self._state = _state(tensors)
        self._copies = None
        if self._state is None:
            self._copies = [None if tensor is None else tensor.detach().clone() for tensor in tensors]

    def changed(self) -> bool:
        """Whether a parameter was replaced, or written to.

        torch counts optimiser steps, ``load_state_dict`` and in-place operations, but no writes through
        ``parameter.data``.
        """
        tensors = self._tensors()
        if self._copies is None:
            return _state(tensors) != self._state
        return not all(map(_equal, tensors, self._copies))

    def _tensors(self) -> list[Tensor | None]:
        return [getattr(part, name, None) for part, name in self._places]


def _state(tensors: list[Tensor | None]) -> list[tuple[int, int]] | None:
    """Address and write count of each tensor; None where writes are not counted."""
    counts = write_counts(tensors)
    if counts is None:
        return None
    pairs = zip(tensors, counts, strict=True)
    return [(-1, -1) if tensor is None else (tensor.data_ptr(), count) for tensor, count in pairs]


def _equal(tensor: Tensor | None, copy: Tensor | None) -> bool:
    if tensor is None or copy is None:
        return tensor is copy
    return tensor.shape == copy.shape and tensor.device == copy.device and torch.equal(tensor, copy)
