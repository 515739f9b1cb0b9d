# SPDX-License-Identifier: Apache-2.0
"""The policy node with a real policy that fails on demand: the content of the file FAULT_FILE says how.

nan: the actions are NaN. raise: an exception. slow: inference takes one second longer. hang: it takes until
the file says otherwise. Empty: no fault.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.policy import load_policy
from dit_policy_ros.ros.policy import policy_node


class FaultyPolicy:
    """A real policy with the fault that the file names."""

    def __init__(self, policy: Any) -> None:
        self._policy, self._file = policy, Path(os.environ["FAULT_FILE"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def predict(self, *arguments: Any, **options: Any) -> np.ndarray:
        fault = self._file.read_text().strip()
        if fault == "raise":
            raise RuntimeError("the accelerator fell off the bus")
        if fault == "slow":
            threading.Event().wait(1.0)
        while self._file.read_text().strip() == "hang":
            threading.Event().wait(0.05)
        actions = self._policy.predict(*arguments, **options)  # (T, A)
        return actions * np.nan if fault == "nan" else actions


if __name__ == "__main__":
    policy_node.load_policy = lambda *arguments, **options: FaultyPolicy(load_policy(*arguments, **options))
    sys.exit(policy_node.main())
