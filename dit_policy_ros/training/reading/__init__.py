# SPDX-License-Identifier: Apache-2.0
"""Reads the datasets of a run: checks them, decides where their images come from, and says what it found."""

from dit_policy_ros.training.reading._image_plan import (
    ImagePlace,
    ImagePlan,
    can_cache_features,
    frame_store,
    plan_images,
    processes_here,
)
from dit_policy_ros.training.reading._observer import LeftOut, TrainObserver
from dit_policy_ros.training.reading._sources import Sources

__all__ = [
    "ImagePlace",
    "ImagePlan",
    "LeftOut",
    "Sources",
    "TrainObserver",
    "can_cache_features",
    "frame_store",
    "plan_images",
    "processes_here",
]
