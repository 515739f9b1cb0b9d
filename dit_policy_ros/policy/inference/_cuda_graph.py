# SPDX-License-Identifier: Apache-2.0
"""CUDA graphs: hundreds of kernels with one launch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

WARM_UP_RUNS = 3  # before a capture: libraries choose their kernels and allocate workspaces in them


class CapturedFunction:
    """A function of tensors, captured for fixed shapes and replayed with new values.

    Every replay draws new random numbers from torch's global generator, the same as without the capture.
    """

    def __init__(self, function: Callable[..., Tensor], *examples: Tensor) -> None:
        """Capture the function. Nothing else may use the GPU meanwhile.

        Args:
            function: without gradients. It must not wait for the GPU or depend on values on the host.
            examples: inputs of the shapes and types that it will be called with.
        """
        self._inputs = [example.clone() for example in examples]
        device = self._inputs[0].device
        side_stream = torch.cuda.Stream(device)
        with torch.cuda.device(device), torch.random.fork_rng(devices=[device]):
            side_stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side_stream):
                for _ in range(WARM_UP_RUNS):
                    function(*self._inputs)
            torch.cuda.current_stream(device).wait_stream(side_stream)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._output = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's value, in a tensor that later calls do not overwrite."""
        for buffer, value in zip(self._inputs, inputs, strict=True):
            buffer.copy_(value)
        self._graph.replay()
        return self._output.clone()


class GraphedNetwork(nn.Module):
    """A vision network, captured once for each number of images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network
        self._captured: dict[tuple[int, bool], CapturedFunction] = {}

    def forward(self, images: Tensor, patches: bool = False) -> Tensor:
        """Same as the network's. The first call with a number of images captures."""
        key = len(images), patches
        if key not in self._captured:
            self._captured[key] = CapturedFunction(lambda x: self._network(x, patches), images)
        return self._captured[key](images)
