# SPDX-License-Identifier: Apache-2.0
"""Starts the simulator node."""

import sys

from dit_policy_ros.ros.common import answer_arguments
from dit_policy_ros.ros.sim._parameters import SIM_PARAMETERS, SIM_PURPOSE


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    code = answer_arguments("sim_node", SIM_PURPOSE, SIM_PARAMETERS, args)
    if code is not None:
        return code
    from dit_policy_ros.ros.sim import sim_node  # MuJoCo

    return sim_node.main(args)


if __name__ == "__main__":
    sys.exit(main())
