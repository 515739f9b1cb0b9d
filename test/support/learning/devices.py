# SPDX-License-Identifier: Apache-2.0
"""Marks for tests that need a GPU, or run on the CPU and on a GPU."""

import pytest
import torch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and torch sees none")
DEVICES = ("cpu", pytest.param("cuda", marks=needs_gpu))
