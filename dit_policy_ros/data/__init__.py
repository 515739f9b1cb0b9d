# SPDX-License-Identifier: Apache-2.0
"""LeRobot datasets and their videos, written and read, and incident folders.

Only this package imports LeRobot.
"""
