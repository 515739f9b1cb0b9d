# SPDX-License-Identifier: Apache-2.0
"""The options of a policy: LeRobot's config.json and our own beyond it.

They are read strictly: an unknown key or a wrong type is an error that names its place.
"""

from dit_policy_ros.policy.config._config import (
    EXTENDED_TYPE,
    EXTENSIONS,
    PolicyConfig,
)
from dit_policy_ros.policy.config._features import Feature, FeatureType, NormalizationMode
from dit_policy_ros.policy.config._strict_json import decode, decode_dataclass, read_json

__all__ = [
    "EXTENDED_TYPE",
    "EXTENSIONS",
    "Feature",
    "FeatureType",
    "NormalizationMode",
    "PolicyConfig",
    "decode",
    "decode_dataclass",
    "read_json",
]
