# SPDX-License-Identifier: Apache-2.0
"""What stands in for an inference node: chunks for a policy node from anything that is not a policy."""

from dit_policy_ros.ros.chunk_source._chunk_source import ChunkSource, SourceFacts

__all__ = ["ChunkSource", "SourceFacts"]
