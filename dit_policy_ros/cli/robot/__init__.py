# SPDX-License-Identifier: Apache-2.0
"""The commands that bring up a robot: its contract, a check of everything, and its latencies."""
