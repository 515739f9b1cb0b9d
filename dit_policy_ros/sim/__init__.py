# SPDX-License-Identifier: Apache-2.0
"""A MuJoCo two-armed robot and its tasks, without ROS."""
