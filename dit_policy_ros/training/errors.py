# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in training and a user can mend."""

from dit_policy_ros.core.errors import DitPolicyError


class TrainingError(DitPolicyError):
    """A training option makes no sense, or training diverged."""
