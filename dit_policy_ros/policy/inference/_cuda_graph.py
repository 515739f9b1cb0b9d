# SPDX-License-Identifier: Apache-2.0
"""Work of a GPU that is launched as one: hundreds of kernels cost one launch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

WARM_UP_RUNS = 3  # before a capture, so that libraries have chosen their kernels and made their workspaces


class CapturedFunction:
    """A function of tensors, captured with fixed shapes and replayed with new values.

    What it draws from torch's global generator is drawn anew in every replay, and is what it would have drawn
    uncaptured.
    """

    def __init__(self, function: Callable[..., Tensor], *examples: Tensor) -> None:
        """Capture; nothing else may use the GPU meanwhile.

        Args:
            function: without gradients; it neither waits for the GPU nor depends on values on the host.
            examples: inputs of the shapes and types that it is going to be called with.
        """
        self._inputs = [example.clone() for example in examples]
        device = self._inputs[0].device
        aside = torch.cuda.Stream(device)
        with torch.cuda.device(device), torch.random.fork_rng(devices=[device]):
            aside.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP_RUNS):
                    function(*self._inputs)
            torch.cuda.current_stream(device).wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._output = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's value; the tensor is the caller's."""
        for buffer, value in zip(self._inputs, inputs, strict=True):
            buffer.copy_(value)
        self._graph.replay()
        return self._output.clone()


class GraphedNetwork(nn.Module):
    """A vision network, captured once for each number of images that it is called with."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network
        self._captured: dict[tuple[int, bool], CapturedFunction] = {}

    def forward(self, images: Tensor, patches: bool = False) -> Tensor:
        """As the network; the first call of a kind captures."""
        key = len(images), patches
        if key not in self._captured:
            self._captured[key] = CapturedFunction(lambda x: self._network(x, patches), images)
        return self._captured[key](images)
