# SPDX-License-Identifier: Apache-2.0
"""The inputs and outputs of a policy, with LeRobot's names."""

from dataclasses import dataclass
from enum import StrEnum


class FeatureType(StrEnum):
    """The kind of a feature; the values are LeRobot's."""

    STATE = "STATE"
    VISUAL = "VISUAL"
    ENV = "ENV"
    ACTION = "ACTION"
    REWARD = "REWARD"
    LANGUAGE = "LANGUAGE"


class NormalizationMode(StrEnum):
    """How a feature is normalised; the values are LeRobot's."""

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
