# SPDX-License-Identifier: Apache-2.0
"""Lets the golden test find the files beside it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
