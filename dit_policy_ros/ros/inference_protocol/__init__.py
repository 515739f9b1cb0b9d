# SPDX-License-Identifier: Apache-2.0
"""What the policy node and the inference node say to each other: parameters, names, and messages as data."""

from dit_policy_ros.ros.inference_protocol._answers import Answer, Latencies, answer_from, answer_message
from dit_policy_ros.ros.inference_protocol._description import (
    PolicyDescription,
    describe,
    description_from,
    fill_response,
)
from dit_policy_ros.ros.inference_protocol._familiarity import familiarity_from, fill_familiarity
from dit_policy_ros.ros.inference_protocol._names import INFERENCE_NODE, inference_node_name, this_host
from dit_policy_ros.ros.inference_protocol._parameters import (
    INFERENCE_PARAMETERS,
    parameter,
    policy_options,
)
from dit_policy_ros.ros.inference_protocol._requests import (
    Committed,
    Request,
    request_from,
    request_message,
)
from dit_policy_ros.ros.inference_protocol._stream_states import RemoteStream, stream_state

__all__ = [
    "INFERENCE_NODE",
    "INFERENCE_PARAMETERS",
    "Answer",
    "Committed",
    "Latencies",
    "PolicyDescription",
    "RemoteStream",
    "Request",
    "answer_from",
    "answer_message",
    "describe",
    "description_from",
    "familiarity_from",
    "fill_familiarity",
    "fill_response",
    "inference_node_name",
    "parameter",
    "policy_options",
    "request_from",
    "request_message",
    "stream_state",
    "this_host",
]
