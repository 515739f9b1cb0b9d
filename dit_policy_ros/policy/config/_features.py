# SPDX-License-Identifier: Apache-2.0
"""What goes into a policy and comes out of it, in LeRobot's words."""

from dataclasses import dataclass
from enum import StrEnum


class FeatureType(StrEnum):
    """What a feature is, as LeRobot writes it."""

    STATE = "STATE"
    VISUAL = "VISUAL"
    ENV = "ENV"
    ACTION = "ACTION"
    REWARD = "REWARD"
    LANGUAGE = "LANGUAGE"


class NormalizationMode(StrEnum):
    """How a feature is scaled, as LeRobot writes it."""

    MIN_MAX = "MIN_MAX"
    MEAN_STD = "MEAN_STD"
    IDENTITY = "IDENTITY"
    QUANTILES = "QUANTILES"
    QUANTILE10 = "QUANTILE10"


@dataclass(frozen=True, slots=True)
class Feature:
    """Type and shape of one input or output; images are (C, H, W)."""

    type: FeatureType
    shape: tuple[int, ...]
