# SPDX-License-Identifier: Apache-2.0
"""Parameters of the policy node that were renamed are refused under their former name, with the new one."""

import re

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from policy_watch import state
from small_robot import parameters, policy_node

from dit_policy_ros.ros.policy import POLICY_PARAMETERS

RENAMED = {
    "max_blind_time": "plan_horizon",
    "ensemble.m": "ensemble.temporal_ensemble_coeff",
    "ensemble.newest_wins": "ensemble.never_averaged",
    "chunk_continuity": "real_time_chunking",
    "inference_steps": "num_inference_steps",
}
DEFAULTS = {entry.name: entry.default for entry in POLICY_PARAMETERS}


def test_the_table_knows_every_former_name():
    assert {entry.former_name: entry.name for entry in POLICY_PARAMETERS if entry.former_name} == RENAMED


@pytest.mark.parametrize("former", RENAMED)
def test_a_former_name_is_refused_with_the_new_name(ros_domain, capfd, former):
    default = DEFAULTS[RENAMED[former]]  # a good value: only the name is wrong
    value = list(default) if isinstance(default, tuple) else default
    node = policy_node(parameters(**{former: value}))
    try:
        node.trigger_configure()
        assert state(node) == "unconfigured"
    finally:
        node.destroy_node()
    lines = capfd.readouterr().err.splitlines()
    complaints = [line for line in lines if former in line and RENAMED[former] in line]
    assert len(complaints) == 1, lines
    others = [
        name
        for name in DEFAULTS
        if name not in RENAMED.values() and re.search(rf"\b{re.escape(name)}\b", complaints[0])
    ]
    assert others == [], "the new name alone is named, not every valid one"
