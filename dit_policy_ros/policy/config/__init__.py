# SPDX-License-Identifier: Apache-2.0
"""The options of a policy, stored in config.json: LeRobot's, and our own.

The file is read strictly: an unknown key or a wrong type is an error that names the key.
"""

from dit_policy_ros.policy.config._config import (
    EXTENDED_TYPE,
    POLICY_TYPE,
    SAMPLING_OPTIONS,
    PolicyConfig,
)
from dit_policy_ros.policy.config._features import Feature, FeatureType, NormalizationMode
from dit_policy_ros.policy.config._options import EXTENSIONS
from dit_policy_ros.policy.config._steps import covering_steps, usable_steps
from dit_policy_ros.policy.config._strict_json import decode, decode_dataclass, lfs_hint, read_json

__all__ = [
    "EXTENDED_TYPE",
    "EXTENSIONS",
    "POLICY_TYPE",
    "SAMPLING_OPTIONS",
    "Feature",
    "FeatureType",
    "NormalizationMode",
    "PolicyConfig",
    "covering_steps",
    "decode",
    "decode_dataclass",
    "lfs_hint",
    "read_json",
    "usable_steps",
]
