# SPDX-License-Identifier: Apache-2.0
"""Our copies of LeRobot's feature names are LeRobot's own."""

import pytest

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY


def test_the_feature_names_are_those_of_lerobot():
    pytest.importorskip("lerobot", reason="lerobot is not installed")
    from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE

    assert (OBS_STATE, ACTION, f"{OBS_IMAGES}.") == (STATE_KEY, ACTION_KEY, IMAGE_PREFIX)
