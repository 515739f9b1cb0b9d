# SPDX-License-Identifier: Apache-2.0
"""Traced and compiled forms of a network, and what to do if a form cannot be made.

In a small network, calling the operations from Python takes about a third as long as their arithmetic. Each
call also releases the interpreter's lock and must get it back from the node's callbacks. A trace is one call.

``torch.jit.trace`` is used because ``torch.export`` was slower: the shipped policy's loop took 1.8 times as
long, its vision encoder 1.2 times (``python bench/bench_forms.py``).
"""

import logging
import time
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.inference._torch_private import first_line

logger = logging.getLogger(__name__)


class TracedNetwork(nn.Module):
    """A network recorded with ``torch.jit.trace``, which torch then runs without Python."""

    def __init__(self, network: nn.Module, *example: Any) -> None:
        """Record the network. Takes a second or two.

        Args:
            network: without gradients. Its weights become constants.
            example: inputs like those that it will be called with. Later tensors may differ in their first
                dimension. Other values are fixed, and so are the branches that Python takes.

        Raises:
            Exception: whatever torch cannot record.
        """
        super().__init__()
        tensors = [value for value in example if isinstance(value, Tensor)]
        self._fixed = [value for value in example if not isinstance(value, Tensor)]
        whole = _WithFixedInputs(network, self._fixed).eval()
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about branches in Python, and that tracing is an old interface
            trace = torch.jit.trace(whole, [tensor.clone() for tensor in tensors], check_trace=False)
            self._trace = torch.jit.freeze(trace)

    def forward(self, *inputs: Any) -> Tensor:
        """Same as the network's."""
        count = len(inputs) - len(self._fixed)
        if list(inputs[count:]) != self._fixed:
            raise ValueError(f"the trace is for the inputs {self._fixed}, got {list(inputs[count:])}")
        return self._trace(*inputs[:count])


class _WithFixedInputs(nn.Module):
    """The network as a function of tensors only."""

    def __init__(self, network: nn.Module, fixed: list[Any]) -> None:
        super().__init__()
        self.network, self._fixed = network, fixed

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.network(*tensors, *self._fixed)


class CompiledNetwork(nn.Module):
    """A network compiled by torch (inductor) for inputs of one shape. Other shapes run uncompiled."""

    def __init__(self, network: nn.Module, *example: Any) -> None:
        """Compile now. Takes seconds to minutes, and needs a C++ compiler.

        Args:
            network: without gradients. Its weights become constants.
            example: inputs of the shapes that it will be called with.

        Raises:
            Exception: whatever goes wrong in the compiler.
        """
        super().__init__()
        self._compiled = torch.compile(network, dynamic=False, options={"freezing": True})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's warnings about itself
            self._compiled(*example)

    def forward(self, *inputs: Any) -> Tensor:
        """Same as the network's."""
        with torch.compiler.set_stance("eager_on_recompile"):  # never compile while a robot waits
            return self._compiled(*inputs)


FORMS: dict[str, type[CompiledNetwork | TracedNetwork]] = {
    "compiled": CompiledNetwork,
    "traced": TracedNetwork,
}
"""By backend name."""


def try_form(backend: str, network: nn.Module, *example: Any) -> nn.Module | None:
    """Make a backend's form of a network, for inputs like the example. Logs a warning and returns None if it
    cannot be made.
    """
    start = time.monotonic()
    try:
        made = FORMS[backend](network, *example)
    except Exception as error:  # noqa: BLE001 - compilers fail in many ways, and 'eager' still works
        logger.warning(
            "backend %r: %s cannot be %s here, so it runs as with 'eager': %s",
            backend,
            type(network).__name__,
            backend,
            first_line(error),
        )
        return None
    logger.info("%s %s in %.0f s", backend, type(network).__name__, time.monotonic() - start)
    return made
