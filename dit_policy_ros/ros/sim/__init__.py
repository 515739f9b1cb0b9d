# SPDX-License-Identifier: Apache-2.0
"""The simulator node and the scripted teleoperator node.

From outside they look like a ros2_control robot and a person with leader arms.
"""
