# SPDX-License-Identifier: Apache-2.0
"""The pose that ~/home moves to is optional, whole and within the limits."""

import pytest
from contracts import small_mapping

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import ContractError

POSE = {"shoulder": 0.5, "finger": 0.01, "elbow": -0.5}


def parse(**pose):
    return parse_contract(small_mapping(rest_pose=pose), "test")


def test_the_pose_is_in_the_order_of_the_joints_and_absent_by_default():
    assert parse(**POSE).rest_pose == (0.5, 0.01, -0.5)
    assert parse_contract(small_mapping(), "test").rest_pose == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"elbow": 2.5}, "rest_pose.elbow: expected a position within the joint's limits, -2 to 2"),
        ({"finger": float("nan")}, "rest_pose.finger"),
        ({"wrist": 0.0}, "rest_pose.wrist"),
        ({"elbow": None}, "rest_pose.elbow"),
    ],
)
def test_what_is_wrong_is_named(change, words):
    pose = {name: value for name, value in (POSE | change).items() if value is not None}
    with pytest.raises(ContractError, match=words):
        parse(**pose)
