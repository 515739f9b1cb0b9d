# SPDX-License-Identifier: Apache-2.0
"""First weights with which a network tells its instructions apart.

A sentence encoder makes almost the same vector of "touch the red cube with the left arm" and "... the right
arm". A network that begins with that sees no difference for long, and learns by heart which scene meant what.

Shapes: W texts, E text feature.
"""

from collections.abc import Sequence

import torch

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import TaskTokenizer

_MOST = 1000  # texts; more tell nothing new
_ALIKE = 1e-6  # of the features' entries; there is one instruction only


@torch.no_grad()
def spread_instructions(policy: DiTPolicy, tokenizer: TaskTokenizer, texts: Sequence[str]) -> None:
    """Scale the projection of a new policy's instructions so that its inputs vary by 1 around 0.

    The function that it can learn stays the same; only the first weights and biases change.

    Args:
        policy: with a frozen text encoder that gives one vector for an instruction.
        tokenizer: of the policy.
        texts: instructions and their wordings; the vectors of one alone are not changed.
    """
    encoder = policy.observation_encoder.text_encoder
    chosen = list(texts[:: max(1, len(texts) // _MOST)])
    features = torch.cat([encoder.pool(*tokenizer([text])) for text in chosen])  # (W, E)
    mean = features.mean(dim=0)  # (E,)
    spread = (features - mean).square().mean().sqrt()
    if features.ndim != 2 or spread < _ALIKE:
        return
    projection = encoder.projection
    projection.weight /= spread
    projection.bias -= projection.weight @ mean
