# SPDX-License-Identifier: Apache-2.0
"""The Multitask Diffusion Transformer policy: everything that needs torch."""
