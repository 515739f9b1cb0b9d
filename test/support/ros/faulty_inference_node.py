# SPDX-License-Identifier: Apache-2.0
"""The inference node with a real policy that fails on demand: the content of the file FAULT_FILE says how.

nan: the actions are NaN. raise: an exception. slow: inference takes one second longer. hang: it takes until
the file says otherwise. raise loading, hang loading: the same while the policy is loaded. Empty: no fault.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.policy import load_policy
from dit_policy_ros.ros.inference import inference_node

FILE = Path(os.environ["FAULT_FILE"])


def fault() -> str:
    return FILE.read_text().strip()


class FaultyPolicy:
    """A real policy with the fault that the file names."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def predict(self, *arguments: Any, **options: Any) -> np.ndarray:
        present = fault()
        if present == "raise":
            raise RuntimeError("the accelerator fell off the bus")
        if present == "slow":
            threading.Event().wait(1.0)
        while fault() == "hang":
            threading.Event().wait(0.05)
        actions = self._policy.predict(*arguments, **options)  # (T, A)
        return actions * np.nan if present == "nan" else actions


def load(*arguments: Any, **options: Any) -> FaultyPolicy:
    while fault() == "hang loading":
        threading.Event().wait(0.05)
    if fault() == "raise loading":
        raise RuntimeError("the accelerator is not there")
    return FaultyPolicy(load_policy(*arguments, **options))


if __name__ == "__main__":
    inference_node.load_policy = load
    sys.exit(inference_node.main())
