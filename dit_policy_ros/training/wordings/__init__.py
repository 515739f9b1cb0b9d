# SPDX-License-Identifier: Apache-2.0
"""Other wordings of instructions: a file of them, or of a small grammar that makes them."""

from dit_policy_ros.training.wordings._grammar import MOST_WORDINGS, Grammar, Template
from dit_policy_ros.training.wordings._model import fit_wordings
from dit_policy_ros.training.wordings._reader import Wordings, read_wordings
from dit_policy_ros.training.wordings._teaching import teach_wordings

__all__ = [
    "MOST_WORDINGS",
    "Grammar",
    "Template",
    "Wordings",
    "fit_wordings",
    "read_wordings",
    "teach_wordings",
]
