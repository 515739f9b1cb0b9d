# SPDX-License-Identifier: Apache-2.0
import pytest

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.evaluation.inspection import parse_episode_numbers


def test_numbers_and_ranges() -> None:
    assert parse_episode_numbers("0-2,7") == [0, 1, 2, 7]
    expected = "expected numbers and ranges like 0-5,12, up to 9999999, got '1,,2'"
    with pytest.raises(DatasetError, match=expected):
        parse_episode_numbers("1,,2")
