# SPDX-License-Identifier: Apache-2.0
"""What a test needs to run on a GPU as well, or only there."""

import pytest
import torch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and torch sees none")
DEVICES = ("cpu", pytest.param("cuda", marks=needs_gpu))
