# SPDX-License-Identifier: Apache-2.0
"""LeRobot's feature names in its datasets and in the checkpoints of its policies."""

STATE_KEY = "observation.state"
ACTION_KEY = "action"
TASK_KEY = "task"
IMAGE_PREFIX = "observation.images."  # the camera's name follows
