# SPDX-License-Identifier: Apache-2.0
"""Predicts an incident's chunks again and compares them with the recorded ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dit_policy_ros.core.contract import DatasetName, Vector
from dit_policy_ros.core.errors import IncidentError
from dit_policy_ros.core.incidents import Inference, predict_seeded
from dit_policy_ros.core.policy_interface import Policy, match_policy
from dit_policy_ros.data.incident_folder import StoredIncident
from dit_policy_ros.ros.inference_protocol import policy_options

TOLERANCE = 1e-3  # [rad or m] another device's rounding is far below it; another policy's chunks are not


@dataclass(frozen=True, slots=True)
class ChunkComparison:
    """Recorded and repeated chunks.

    Attributes:
        count: chunks that were repeated.
        identical: of these, how many are identical bit for bit.
        max_difference: largest difference of any action [rad or m].
        failed: recorded inferences without a chunk.
    """

    count: int
    identical: int
    max_difference: float
    failed: int

    @property
    def is_reproduced(self) -> bool:
        """Whether the chunks are the same up to rounding."""
        return self.max_difference <= TOLERANCE


def replay_policy(stored: StoredIncident, checkpoint: Path, device: str) -> ChunkComparison:
    """Repeat the incident's inferences with a checkpoint.

    Raises:
        IncidentError: the incident lacks a parameter that this version needs.
        CheckpointError: the checkpoint cannot be loaded.
        StreamError: the policy and the recorded observations do not match.
    """
    from dit_policy_ros.policy import load_policy  # torch takes seconds to import

    facts = stored.facts
    try:
        # The recorded number of steps: max_latency may have reduced it below the parameter's.
        options = policy_options(facts["parameters"]) | {"device": device, "sampling_steps": facts["steps"]}
    except KeyError as missing:
        raise IncidentError(
            f"the incident lacks the parameter {missing}: version {facts['version']} wrote it; "
            "replay it with that version"
        ) from missing
    names = [DatasetName(**each) for each in facts.get("dataset_names", [])]
    vectors = [Vector.from_mapping(each) for each in facts.get("vectors", [])]
    entries = facts.get("entries", facts["joints"])  # earlier incidents are of joints
    policy = match_policy(
        load_policy(checkpoint, **options), entries, names, facts.get("trained_cameras", {}), vectors
    )
    return repeat_chunks(policy, stored.incident.inferences)


def repeat_chunks(policy: Policy, inferences: Sequence[Inference]) -> ChunkComparison:
    """Repeat every recorded inference. Raises StreamError when policy and observations do not match."""
    identical, max_difference, count = 0, 0.0, 0
    for inference in inferences:
        if inference.actions is None:  # it failed, or was not finished
            continue
        images = {name: np.stack(frames) for name, frames in inference.images.items()}  # (n_obs, H, W, 3)
        actions = predict_seeded(
            policy, images, inference.state, inference.task, inference.seed, inference.previous
        )  # (T, A)
        count += 1
        identical += actions.tobytes() == inference.actions.tobytes()
        difference = np.abs(actions.astype(np.float64) - inference.actions)  # (T, A)
        difference[np.isnan(actions) & np.isnan(inference.actions)] = 0.0
        max_difference = max(max_difference, float(np.nan_to_num(difference, nan=np.inf).max()))
    return ChunkComparison(count, identical, max_difference, len(inferences) - count)
