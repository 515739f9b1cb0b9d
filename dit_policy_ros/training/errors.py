# SPDX-License-Identifier: Apache-2.0
"""Errors of training that a user can fix."""

from dit_policy_ros.core.errors import DitPolicyError


class TrainingError(DitPolicyError):
    """An option of training is invalid, or training diverged."""
