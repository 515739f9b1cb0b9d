# SPDX-License-Identifier: Apache-2.0
"""The policy node with faulty_inference_node.py as its inference node."""

import os
import sys
from pathlib import Path

from dit_policy_ros.ros.inference_link import _process
from dit_policy_ros.ros.policy import policy_node

if __name__ == "__main__":
    _process.MODULE = "faulty_inference_node"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    sys.exit(policy_node.main())
