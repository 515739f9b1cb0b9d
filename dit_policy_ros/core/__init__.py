# SPDX-License-Identifier: Apache-2.0
"""The data flow from samples to checked trajectories: numpy only, no ROS and no torch."""
