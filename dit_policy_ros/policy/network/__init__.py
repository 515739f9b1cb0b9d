# SPDX-License-Identifier: Apache-2.0
"""The Diffusion Transformer over the action sequence.

One file per way of conditioning it on the observation.
"""

from dit_policy_ros.policy.network._adaln import AdaLNBlocks, feed_forward
from dit_policy_ros.policy.network._transformer import DiffusionTransformer

__all__ = ["AdaLNBlocks", "DiffusionTransformer", "feed_forward"]
