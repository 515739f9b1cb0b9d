# SPDX-License-Identifier: Apache-2.0
"""The inference node: observes and infers when the policy node asks; knows nothing of controllers.

`inference_node` is the node, `start` runs it, and the private modules are its parts. Nothing else of the
nodes' code needs torch.
"""
