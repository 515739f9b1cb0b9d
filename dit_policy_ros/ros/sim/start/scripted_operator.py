# SPDX-License-Identifier: Apache-2.0
"""Starts the scripted operator."""

import sys

from dit_policy_ros.ros.common import answer_arguments
from dit_policy_ros.ros.sim._parameters import TELEOP_PARAMETERS, TELEOP_PURPOSE


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    code = answer_arguments("teleop_expert", TELEOP_PURPOSE, TELEOP_PARAMETERS, args)
    if code is not None:
        return code
    from dit_policy_ros.ros.sim import teleop_node  # MuJoCo

    return teleop_node.main(args)


if __name__ == "__main__":
    sys.exit(main())
