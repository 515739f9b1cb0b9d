# SPDX-License-Identifier: Apache-2.0
"""LeRobot's policy server for its ``async`` inference, with our policy type.

`python -m lerobot_policy_dit_policy_ros.policy_server --host=127.0.0.1 --port=8080`. LeRobot's own program
has a fixed list of types, imports no plugins, and asks for the processors at the place that the client names,
where our checkpoints call their tokenizer by a name within the folder.

`--execution_lead=0.23` [s] is the time from an observation to its action's execution: the delay of a robot of
this package, and a period. The server cannot ask the robot, which is in the client's process.
"""

import math
import sys
from typing import Any

from lerobot.async_inference import constants, policy_server
from lerobot.policies.factory import make_pre_post_processors

import lerobot_policy_dit_policy_ros
from dit_policy_ros.core.errors import ParameterError

_LEAD = "--execution_lead="
_lead = 0.0  # [s]


def _processors(config: Any, pretrained_path: str, **options: Any) -> Any:
    """The processors from where the policy found the encoders; see ``readable_by_lerobot``."""
    if isinstance(config, lerobot_policy_dit_policy_ros.DitPolicyRosConfig):
        pretrained_path = str(config.pretrained_path)
        config.execution_lead = _lead
    return make_pre_post_processors(config, pretrained_path=pretrained_path, **options)


def prepare(execution_lead: float = 0.0) -> None:
    """Let LeRobot's server accept our type. execution_lead: from an observation to its action [s]."""
    global _lead
    _lead = execution_lead
    if "dit_policy_ros" not in constants.SUPPORTED_POLICIES:
        constants.SUPPORTED_POLICIES.append("dit_policy_ros")
    policy_server.make_pre_post_processors = _processors  # type: ignore[attr-defined]


def take_lead(arguments: list[str]) -> float:
    """Remove the execution lead from the command line; returns it [s].

    Raises:
        ParameterError: it is no time.
    """
    given = [argument for argument in arguments if argument.startswith(_LEAD)]
    arguments[:] = [argument for argument in arguments if argument not in given]
    text = given[-1].removeprefix(_LEAD) if given else "0"
    try:
        lead = float(text)
    except ValueError:
        lead = math.nan
    if not 0.0 <= lead < math.inf:  # also if it is NaN
        raise ParameterError(f"--execution_lead: expected 0 or more [s], got {text!r}")
    return lead


if __name__ == "__main__":
    prepare(take_lead(sys.argv))
    policy_server.serve()
