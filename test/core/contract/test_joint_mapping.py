# SPDX-License-Identifier: Apache-2.0
"""Joint mappings convert names and units; every mistake in them is reported."""

import numpy as np
import pytest

from dit_policy_ros.core.contract import parse_mapping
from dit_policy_ros.core.errors import ParameterError

JOINTS = ("shoulder", "finger", "elbow")


def test_joints_without_an_entry_keep_name_and_value() -> None:
    mapping = parse_mapping([""], JOINTS, "action.mapping")
    assert mapping.sources == JOINTS
    np.testing.assert_array_equal(mapping(np.array([1.0, 2.0, 3.0])), [1.0, 2.0, 3.0])


def test_names_scales_and_offsets() -> None:
    entries = ["finger=grip*0.04", "elbow = leader/elbow * -1 + 0.5", " shoulder = pan + -1e-1 "]
    mapping = parse_mapping(entries, JOINTS, "action.mapping")
    assert mapping.sources == ("pan", "grip", "leader/elbow")
    np.testing.assert_allclose(mapping(np.array([1.0, 0.5, 2.0])), [0.9, 0.02, -1.5])


def test_every_mistake_is_reported() -> None:
    with pytest.raises(ParameterError) as caught:
        parse_mapping(
            ["finger", "elbov = x", "elbow = x * y", "finger = a", "finger = b"], JOINTS, "action.mapping"
        )
    for fragment in (
        "expected 'joint = source', 'joint = source * scale'",
        "the unknown name 'elbov'. Did you mean 'elbow'?",
        "got 'elbow = x * y'",
        "expected each joint once, got 'finger' again",
    ):
        assert fragment in str(caught.value)
