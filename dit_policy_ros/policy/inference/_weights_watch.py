# SPDX-License-Identifier: Apache-2.0
"""Whether a weight has changed since something was derived from it; asked before every inference."""

from torch import nn


class WeightsWatch:
    """Knows what the parameters of a module's parts were; parts that are added later are not seen."""

    def __init__(self, module: nn.Module) -> None:
        """Remember the weights as they are."""
        # Module.parameters() names and compares each, which costs a twentieth of a small network's inference.
        self._places = [
            (part._parameters, name)
            for part in module.modules()
            for name, parameter in part._parameters.items()
            if parameter is not None
        ]
        self._seen = self._versions()

    def changed(self) -> bool:
        """Whether a parameter was written to, as torch counts it, or replaced."""
        return self._versions() != self._seen

    def _versions(self) -> list[tuple[int, int]]:
        found = [parameters[name] for parameters, name in self._places]
        return [(-1, -1) if p is None else (p.data_ptr(), p._version) for p in found]
