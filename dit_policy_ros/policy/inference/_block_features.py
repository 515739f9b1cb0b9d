# SPDX-License-Identifier: Apache-2.0
"""Outputs of a network's blocks, kept from step to step of one sampling."""

from collections.abc import Callable, Sequence

from torch import Tensor

Compute = Callable[[Tensor, Tensor], Tensor]


class BlockFeatures:
    """Computes a block where a schedule says so, and gives what it gave before where not."""

    def __init__(self, times: Sequence[float], updates: Sequence[Sequence[int]]) -> None:
        """Begin with nothing kept.

        Args:
            times: at which the sampler evaluates the network, in its order.
            updates: for each block the steps, places in ``times``, at which it is computed.
        """
        self._steps = {t: i for i, t in enumerate(times)}
        self._updates = [frozenset(steps) for steps in updates]
        self._kept: dict[int, Tensor] = {}
        self._step = 0

    def begin_step(self, t: float) -> None:
        """The network is about to be evaluated at a time."""
        self._step = self._steps[t]

    def __call__(self, block: int, compute: Compute, h: Tensor, values: Tensor) -> Tensor:
        """The output of a block for these inputs, or an earlier one."""
        if block not in self._kept or self._step in self._updates[block]:
            self._kept[block] = compute(h, values)
        return self._kept[block]


class RecordedFeatures(BlockFeatures):
    """Computes every block at every step, and remembers all outputs."""

    def __init__(self, times: Sequence[float], blocks: int) -> None:
        super().__init__(times, [range(len(times))] * blocks)
        self.outputs: list[list[Tensor]] = [[] for _ in range(blocks)]  # by block, then step

    def __call__(self, block: int, compute: Compute, h: Tensor, values: Tensor) -> Tensor:
        """The output of a block."""
        output = super().__call__(block, compute, h, values)
        self.outputs[block].append(output)
        return output
