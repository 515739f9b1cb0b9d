# SPDX-License-Identifier: Apache-2.0
"""The parameters of each node and the keys of the contract, from the tables that the nodes declare."""

from collections.abc import Iterator, Sequence
from typing import Any

from dit_policy_ros.ros.common import CONTRACT_PARAMETERS, Parameter
from dit_policy_ros.ros.inference._arguments import NODE_PARAMETERS
from dit_policy_ros.ros.policy._parameters import POLICY_PARAMETERS
from dit_policy_ros.ros.recorder._parameters import RECORDER_PARAMETERS
from dit_policy_ros.ros.sim._parameters import SIM_PARAMETERS, TELEOP_PARAMETERS
from tools.reference._markdown import code, escape, prose, table

NODE_TABLES = {
    "policy_node": POLICY_PARAMETERS,
    "inference_node": NODE_PARAMETERS,
    "recorder_node": RECORDER_PARAMETERS,
    "sim_node": SIM_PARAMETERS,
    "teleop_expert": TELEOP_PARAMETERS,
}
_HEADING = ("parameter", "meaning")


def parameters_page() -> str:
    parts = [
        "# Parameters of the nodes\n",
        "The same tables answer `ros2 run dit_policy_ros policy_node --help` and `ros2 param describe`. "
        "A parameter that is *fixed* is read at configure. Where a value may come from, and which one "
        "counts, is explained in [The first day on a robot](../hardware.md#the-contract). All nodes read the "
        "[contract](contract.md), too.\n",
    ]
    for node, parameters in NODE_TABLES.items():
        parts += [f"## {node}\n", table(_HEADING, map(_row, parameters))]
    return "\n".join(parts)


def contract_page() -> str:
    rows = [
        (code(each.name), f"{prose(each.description)} ({escape(each.constraint)})")
        for each in CONTRACT_PARAMETERS
    ]
    return "\n".join(
        (
            "# Keys of the contract\n",
            "The contract describes the robot, once, for all nodes. It stands in the section `/**` of the "
            "parameter file; [config/bimanual.yaml](../../config/bimanual.yaml) is a whole one, with "
            "explanations. What stands between `<` and `>` is a name of yours. `dit_policy contract` writes "
            "the file from a running robot ([Bringing up a robot](../bring_up.md)).\n",
            table(("key", "meaning"), rows),
        )
    )


def _row(parameter: Parameter) -> Sequence[str]:
    return (code(parameter.name), "; ".join(_meaning(parameter)))


def _meaning(parameter: Parameter) -> Iterator[str]:
    yield f"{prose(parameter.description)} ({escape(parameter.constraint)}; default {_default(parameter)})"
    if parameter.fixed:
        yield "*fixed*"
    if parameter.former_name:
        yield f"formerly {code(parameter.former_name)}"


def _default(parameter: Parameter) -> str:
    return "none" if parameter.default is None else code(_as_yaml(parameter.default))


def _as_yaml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return value or '""' if isinstance(value, str) else f"{value}"
