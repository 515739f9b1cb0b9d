# SPDX-License-Identifier: Apache-2.0
"""Offline training; never imported on the robot."""
