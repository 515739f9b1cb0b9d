# SPDX-License-Identifier: Apache-2.0
"""Networks recorded once, operation by operation, and run by torch without Python.

Calling the operations of a small network one by one from Python takes about as long as a third of what they
compute, and for each of them the interpreter's lock is given away and has to be got back from the callbacks
of the node. A trace is called once.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn


class TracedNetwork(nn.Module):
    """Takes the place of a network for inputs like those that it was recorded with."""

    def __init__(self, network: nn.Module, *example: Any) -> None:
        """Record now, which takes a second or two.

        Args:
            network: without gradients; its weights become constants.
            example: what it is going to be called with. Tensors may have another first dimension later,
                other values are fixed; so are decisions that the network takes in Python.

        Raises:
            Exception: whatever torch cannot record.
        """
        super().__init__()
        tensors = [value for value in example if isinstance(value, Tensor)]
        self._fixed = [value for value in example if not isinstance(value, Tensor)]
        whole = _WithFixed(network, self._fixed).eval()
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is decided in Python, and that compilers are newer
            trace = torch.jit.trace(whole, [tensor.clone() for tensor in tensors], check_trace=False)
            self._trace = torch.jit.freeze(trace)

    def forward(self, *inputs: Any) -> Tensor:
        """As the network."""
        count = len(inputs) - len(self._fixed)
        if list(inputs[count:]) != self._fixed:
            raise ValueError(f"recorded for {self._fixed}, called with {list(inputs[count:])}")
        return self._trace(*inputs[:count])


class _WithFixed(nn.Module):
    """A function of tensors alone."""

    def __init__(self, network: nn.Module, fixed: list[Any]) -> None:
        super().__init__()
        self.network, self._fixed = network, fixed

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.network(*tensors, *self._fixed)
