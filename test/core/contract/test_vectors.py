# SPDX-License-Identifier: Apache-2.0
"""The contract's section `vectors`: what is read, and every mistake with its remedy."""

import pytest
from contracts import SMALL_CONTRACT, small_mapping

from dit_policy_ros.core.contract import VectorType, parse_contract
from dit_policy_ros.core.errors import ContractError

EFFORT = {"topic": "joint_states", "type": "sensor_msgs/msg/JointState", "field": "effort", "max_age": 0.2}
WRENCH = {"topic": "wrist/wrench", "type": "geometry_msgs/msg/WrenchStamped", "max_age": 0.1}
TACTILE = {"topic": "tactile", "type": "std_msgs/msg/Float64MultiArray", "size": 4, "max_age": 0.1}
IMU = {"topic": "imu", "type": "sensor_msgs/msg/Imu", "max_age": 0.1}


def parse(**vectors):
    return parse_contract(small_mapping(vectors={"names": list(vectors), **vectors}), "test")


def test_a_contract_without_vectors_has_none() -> None:
    assert SMALL_CONTRACT.vectors == ()


def test_entries_are_those_of_the_message_unless_given() -> None:
    effort, wrench, tactile, imu = parse(effort=EFFORT, wrench=WRENCH, tactile=TACTILE, imu=IMU).vectors
    assert effort.entries == SMALL_CONTRACT.joints
    assert (effort.type, effort.field, effort.topic) == (VectorType.JOINT_STATE, "effort", "joint_states")
    assert wrench.entries == ("force.x", "force.y", "force.z", "torque.x", "torque.y", "torque.z")
    assert tactile.entries == ("tactile_0", "tactile_1", "tactile_2", "tactile_3")
    assert imu.size == 6
    assert "orientation.w" not in imu.entries


def test_entries_can_be_chosen_and_named() -> None:
    vectors = parse(
        effort=EFFORT | {"entries": ["finger"]},
        wrench=WRENCH | {"entries": ["force.z"], "trained_as": "environment_state"},
        tactile={key: TACTILE[key] for key in ("topic", "type", "max_age")} | {"entries": ["tip", "palm"]},
    ).vectors
    assert [vector.entries for vector in vectors] == [("finger",), ("force.z",), ("tip", "palm")]
    assert vectors[1].dataset_name == "environment_state"


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ({"effort": EFFORT | {"type": "JointState"}}, "vectors.effort.type: expected one of"),
        ({"effort": EFFORT | {"field": "torque"}}, "vectors.effort.field: expected one of: position"),
        ({"effort": {k: v for k, v in EFFORT.items() if k != "field"}}, "vectors.effort.field"),
        ({"wrench": WRENCH | {"field": "force"}}, "for sensor_msgs/msg/JointState alone"),
        ({"wrench": WRENCH | {"entries": ["force.w"]}}, "different ones of: force.x"),
        ({"wrench": WRENCH | {"size": 6}}, "for an array without 'entries' alone"),
        ({"tactile": {k: v for k, v in TACTILE.items() if k != "size"}}, "vectors.tactile.size"),
        ({"tactile": TACTILE | {"size": 0}}, "vectors.tactile.size: expected a whole number from 1"),
        ({"tactile": TACTILE | {"max_age": 0.0}}, "vectors.tactile.max_age"),
        ({"tactile": TACTILE | {"rate": 3.0}}, "vectors.tactile.rate"),
        ({"state": WRENCH}, "none of state"),
        ({"top": WRENCH}, "the cameras' names"),
        ({"a": WRENCH, "b": WRENCH | {"trained_as": "a"}}, "vectors.b.trained_as: expected a name"),
    ],
)
def test_a_mistake_is_named_with_its_key(vectors, said: str) -> None:
    with pytest.raises(ContractError, match="robot contract") as caught:
        parse(**vectors)
    assert said in str(caught.value)


def test_an_unknown_vector_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="vectors: effort"):
        parse(effort=EFFORT).vector("wrench")
