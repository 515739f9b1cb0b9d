# SPDX-License-Identifier: Apache-2.0
"""Names of nodes and computers."""

import functools
import socket
from pathlib import Path

INFERENCE_NODE = "inference"
_POLICY_NODE = "policy"


def inference_node_name(policy_node: str) -> str:
    """Name of the inference node that belongs to a policy node. Both are in one namespace.

    Two policy nodes in one namespace have different names, and so have their inference nodes.
    """
    return INFERENCE_NODE if policy_node == _POLICY_NODE else f"{policy_node}_{INFERENCE_NODE}"


@functools.cache
def this_host() -> str:
    """This computer, told from others of its name. Containers of one computer are different, too."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "unknown"
    return f"{socket.gethostname()} ({boot})"
