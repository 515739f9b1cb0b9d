# SPDX-License-Identifier: Apache-2.0
"""Networks compiled by torch (inductor) for one shape of input, ahead of use."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn


class CompiledNetwork(nn.Module):
    """Runs the compiled form for the input that it was compiled for, and the network itself for any other."""

    def __init__(self, network: nn.Module, *example: Any) -> None:
        """Compile now, which takes seconds to minutes and a C++ compiler.

        Args:
            network: without gradients; its weights become constants.
            example: what it is going to be called with.

        Raises:
            Exception: whatever went wrong in the compiler.
        """
        super().__init__()
        self._network = network
        self._compiled = torch.compile(network, dynamic=False, options={"freezing": True})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, about itself
            self._compiled(*example)

    def forward(self, *inputs: Any) -> Tensor:
        """As the network."""
        with torch.compiler.set_stance("eager_on_recompile"):  # nothing is compiled while a robot waits
            return self._compiled(*inputs)
