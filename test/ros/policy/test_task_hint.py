# SPDX-License-Identifier: Apache-2.0
"""What ~/set_task says of an instruction that the checkpoint was not trained on."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.ros.inference_link import known_hint

KNOWN = ("touch the red cube", "push the button")


def test_a_mistyped_task_is_answered_with_the_one_that_was_meant() -> None:
    assert "'push the button'. Did you mean 'touch the red cube'?" in known_hint(KNOWN, "touch the rde cube")


def test_another_task_is_answered_with_the_known_ones_alone() -> None:
    hint = known_hint(KNOWN, "fold a towel")
    assert "'push the button'" in hint and "Did you mean" not in hint and not hint.endswith(".")
    assert known_hint((), "fold a towel") == ""
