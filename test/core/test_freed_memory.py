# SPDX-License-Identifier: Apache-2.0
"""Freed memory that stays with the process."""

import subprocess
import sys

import pytest

_BLOCKS = """
import resource, sys
import numpy as np
from dit_policy_ros.core.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def use():
    blocks = [np.ones(64 << 20, np.uint8) for _ in range(4)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    """Page faults of five rounds of four blocks of 64 MB, after a first round."""
    run = subprocess.run([sys.executable, "-c", _BLOCKS, mode], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_blocks_are_used_again_without_asking_the_kernel() -> None:
    assert page_faults("keep") < 1000
    assert page_faults("default") > 5000, "the case is none any more: is keep_freed_memory still needed?"
