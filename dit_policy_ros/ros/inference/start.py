# SPDX-License-Identifier: Apache-2.0
"""Starts the inference node. Help and mistakes in the arguments are answered before torch is imported."""

import sys

from dit_policy_ros.ros.inference._arguments import answer


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    code = answer(args)
    if code is not None:
        return code
    from dit_policy_ros.ros.inference import inference_node  # torch takes seconds

    return inference_node.main(args)


if __name__ == "__main__":
    sys.exit(main())
