# SPDX-License-Identifier: Apache-2.0
"""LeRobot's feature names in its datasets and in the checkpoints of its policies."""

from collections import Counter
from collections.abc import Iterable

STATE_KEY = "observation.state"
ACTION_KEY = "action"
ENVIRONMENT_KEY = "observation.environment_state"
TASK_KEY = "task"
INTERVENTION_KEY = "intervention"  # of a frame: whether a person drove; LeRobot's rollouts have it, too
CONTROLLER_KEY = "controller"  # of a frame: who drove
OBSERVATION_PREFIX = "observation."
IMAGE_PREFIX = "observation.images."  # the camera's name follows


def camera_names(keys: Iterable[str]) -> dict[str, str]:
    """The cameras' names by key.

    `top` for `observation.images.top`, `image` for LeRobot's single camera `observation.image`, and a key of
    any other form itself. Where two keys would give one name, the one of another form keeps its whole key.
    """
    keys = tuple(keys)
    short = {key: _short_name(key) for key in keys}
    count = Counter(short.values())
    return {
        key: short[key] if count[short[key]] == 1 or key.startswith(IMAGE_PREFIX) else key for key in keys
    }


def _short_name(key: str) -> str:
    for prefix in (IMAGE_PREFIX, OBSERVATION_PREFIX):
        if key.startswith(prefix):
            return key.removeprefix(prefix)
    return key


def vector_key(name: str) -> str:
    """The key of a further vector, as `observation.effort` for `effort`."""
    return OBSERVATION_PREFIX + name


def vector_name(key: str) -> str:
    """How people, options and the robot call a further vector: its key without `observation.`."""
    return key.removeprefix(OBSERVATION_PREFIX)
