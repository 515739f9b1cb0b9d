# SPDX-License-Identifier: Apache-2.0
"""What the simulated robot measures, as a contract states it and as a checkpoint needs it."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.core.share import share_directory
from dit_policy_ros.evaluation.simulator import vector_parameters, vectors_section
from dit_policy_ros.sim.robot import JOINTS, BimanualSim
from dit_policy_ros.sim.vectors import SIM_VECTORS, find_vectors, measure_vectors


def test_the_section_is_read_by_the_contract_as_the_robot_states_it() -> None:
    content = yaml.safe_load((share_directory() / "config" / "bimanual.yaml").read_text())
    mapping = content["/**"]["ros__parameters"] | {"vectors": vectors_section(["velocity", "effort"])}
    assert parse_contract(mapping, "test").vectors == SIM_VECTORS


def test_an_unknown_vector_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SimulationError, match="no vector wrench; it has: velocity, effort"):
        find_vectors(("effort", "wrench"))


def test_efforts_carry_the_arms_and_velocities_are_those_of_the_joints() -> None:
    with BimanualSim(1) as sim:
        sim.step(200)
        measured = measure_vectors(sim, ("effort", "velocity"))
        assert list(measured) == ["effort", "velocity"]
        np.testing.assert_array_equal(measured["velocity"], sim.joint_velocities)
        held = np.abs(measured["effort"][[JOINTS.index(f"{side}_joint_2") for side in ("left", "right")]])
        assert (held > 0.1).all()  # [N m] against gravity
        measured["effort"][:] = 0.0
        assert sim.joint_efforts.any()  # a copy


def test_a_checkpoint_gets_what_it_reads_and_the_robot_has(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"state_features": ["observation.effort", "observation.wrench"]}))
    assert vector_parameters(tmp_path) == {
        "vectors.names": "[effort]",
        "vectors.effort.type": "sensor_msgs/msg/JointState",
        "vectors.effort.topic": "joint_states",
        "vectors.effort.max_age": "0.2",
        "vectors.effort.field": "effort",
    }
    config.write_text("{}")
    assert vector_parameters(tmp_path) == {}
    assert vector_parameters(tmp_path / "absent") == {}
