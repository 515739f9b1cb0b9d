# SPDX-License-Identifier: Apache-2.0
"""Another form of a network where it can be made, and the network itself where not."""

import logging
import time
from typing import Any

from torch import nn

from dit_policy_ros.policy.inference._compiled_network import CompiledNetwork
from dit_policy_ros.policy.inference._traced_network import TracedNetwork

logger = logging.getLogger(__name__)

FORMS: dict[str, type[CompiledNetwork | TracedNetwork]] = {
    "compiled": CompiledNetwork,
    "traced": TracedNetwork,
}
"""By the name of the backend."""


def try_to_make(backend: str, network: nn.Module, *example: Any) -> nn.Module | None:
    """The network in the form of a backend, for input like the example; with a warning None, where not."""
    began = time.monotonic()
    try:
        made = FORMS[backend](network, *example)
    except Exception as error:  # noqa: BLE001 - compilers fail in many ways, and there is another way to run
        reason = str(error).strip().split("\n")[0]
        logger.warning(
            "backend %r: %s cannot be %s here and runs as with 'eager': %s: %s",
            backend,
            type(network).__name__,
            backend,
            type(error).__name__,
            reason,
        )
        return None
    logger.info("%s %s in %.0f s", backend, type(network).__name__, time.monotonic() - began)
    return made
