# SPDX-License-Identifier: Apache-2.0
"""The inference node's command line. It imports no torch, so that help and mistakes are answered at once."""

from collections.abc import Sequence

from dit_policy_ros.ros.common import FOLLOW_PARENT, answer_arguments
from dit_policy_ros.ros.inference_protocol import INFERENCE_PARAMETERS

NODE_PARAMETERS = (*INFERENCE_PARAMETERS, FOLLOW_PARENT)
_PURPOSE = (
    "Infers for a policy node: subscribes to cameras and joint states, and answers each request with a chunk "
    "of actions. The policy node starts one by itself (parameter inference: process); start this one on "
    "another computer, with the policy node's parameter inference: external. The policy node configures and "
    "activates it."
)


def answer(args: Sequence[str] | None) -> int | None:
    """As ``answer_arguments``: the exit code, or None if the node is to run."""
    return answer_arguments("inference_node", _PURPOSE, NODE_PARAMETERS, args)
