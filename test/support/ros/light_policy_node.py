# SPDX-License-Identifier: Apache-2.0
"""The policy node; once it is active it writes into the file MODULES which heavy modules it has."""

import os
import sys
from pathlib import Path

from dit_policy_ros.ros.common import run_node
from dit_policy_ros.ros.policy.policy_node import PolicyNode

HEAVY = ("datasets", "diffusers", "lerobot", "mujoco", "torch", "transformers")


class WatchedNode(PolicyNode):
    def start(self) -> None:
        super().start()
        Path(os.environ["MODULES"]).write_text(f"imported: {[name for name in HEAVY if name in sys.modules]}")


if __name__ == "__main__":
    sys.exit(run_node(WatchedNode))
