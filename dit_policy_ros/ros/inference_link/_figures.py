# SPDX-License-Identifier: Apache-2.0
"""Measurements of inference and of the link, for the status message."""

from dataclasses import dataclass, field

from dit_policy_ros.core.statistics import RecentRate, RecentValues


@dataclass(slots=True)
class InferenceFigures:
    """Since the activation."""

    inference: RecentValues = field(default_factory=RecentValues)  # [s] policy alone
    pipeline: RecentValues = field(default_factory=RecentValues)  # [s] image stamp to plan, less inference
    turnaround: RecentValues = field(default_factory=RecentValues)  # [s] from inference's begin to the chunk
    observation_age: RecentValues = field(default_factory=RecentValues)  # [s] at the start of inference
    chunk_rate: RecentRate = field(default_factory=RecentRate)
    chunks: int = 0
    missed_latencies: int = 0  # inferences longer than max_latency
    refused: int = 0  # chunks that were not used, see InferenceLink
    newest_stamp_ns: int | None = None  # of the newest chunk's observation
