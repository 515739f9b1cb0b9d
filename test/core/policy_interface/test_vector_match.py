# SPDX-License-Identifier: Apache-2.0
"""A policy's further vectors are found in the contract by name, entry by entry, or it is refused in words."""

from typing import Any

import numpy as np
import pytest
from contracts import SMALL_CONTRACT, small_mapping

from dit_policy_ros.core.contract import Contract, parse_contract
from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface import Policy, VectorInput, check_policy, match_policy

JOINTS = SMALL_CONTRACT.joints
FORCE = ("force.x", "force.y", "force.z")
SECTION = {
    "names": ["wrench", "touch"],
    "wrench": {
        "topic": "w", "type": "geometry_msgs/msg/WrenchStamped", "max_age": 0.1, "entries": list(FORCE),
    },
    "touch": {"topic": "t", "type": "std_msgs/msg/Float64MultiArray", "max_age": 0.1, "size": 2},
}  # fmt: skip


class Reader:
    """A policy that remembers the state that it was given."""

    description, device, backend, steps, uses_previous, unseen_state = "reader", "cpu", "none", 1, False, ""
    fps, known_tasks, n_obs_steps, horizon, image_shapes = 30.0, (), 2, 3, {}
    action_dim = 3

    def __init__(self, *vectors: VectorInput, joints: tuple[str, ...] | None = JOINTS) -> None:
        self.vectors, self.joint_names, self.action_names = vectors, joints, joints
        self.state_dim = len(JOINTS) + sum(vector.size for vector in vectors)
        self.state = np.empty(0)

    def predict(self, images: Any, state: Any, task: str, noise: Any = None, previous: Any = None) -> Any:
        self.state = state
        return np.zeros((2, 3), np.float32)


def contract(**changes: Any) -> Contract:
    section = SECTION | {name: SECTION[name] | change for name, change in changes.items()}
    return parse_contract(small_mapping(vectors=section), "test")


def matched(policy: Any, robot: Contract) -> Policy:
    found = match_policy(policy, robot.joints, robot.dataset_names, robot.trained_cameras, robot.vectors)
    check_policy(found, robot)
    return found


def test_vectors_as_the_robot_has_them_need_nothing() -> None:
    policy = Reader(VectorInput("wrench", 3, FORCE))
    assert matched(policy, contract()) is policy


def test_entries_are_picked_and_ordered_by_name_across_vectors() -> None:
    policy = Reader(VectorInput("touch", 1, ("touch_1",)), VectorInput("wrench", 2, ("force.z", "force.x")))
    robot = matched(policy, contract())
    assert [vector.name for vector in robot.vectors] == ["touch", "wrench"]
    assert robot.state_dim == 3 + 2 + 3
    state = np.array([[0.1, 0.2, 0.3, 10, 11, 20, 21, 22]] * 2, np.float32)  # joints, touch, wrench
    robot.predict({}, state, "touch")
    np.testing.assert_allclose(policy.state, [[0.1, 0.2, 0.3, 11, 22, 20]] * 2)
    assert policy.state.dtype == np.float32


def test_joints_and_vectors_are_matched_together() -> None:
    policy = Reader(VectorInput("touch", 2, ("touch_1", "touch_0")), joints=("elbow", "shoulder", "finger"))
    robot = matched(policy, contract())
    robot.predict({}, np.array([[1, 2, 3, 10, 11]] * 2, np.float32), "touch")  # shoulder, finger, elbow
    np.testing.assert_allclose(policy.state, [[3, 1, 2, 11, 10]] * 2)


def test_a_vector_of_another_name_in_the_training_data_is_declared() -> None:
    policy = Reader(VectorInput("environment_state", 3, FORCE))
    robot = matched(policy, contract(wrench={"trained_as": "environment_state"}))
    assert robot.vectors == (VectorInput("wrench", 3, FORCE),)


def test_nameless_entries_are_those_of_the_contract_if_there_are_as_many() -> None:
    policy = Reader(VectorInput("touch", 2))
    assert matched(policy, contract()).state_dim == 5
    with pytest.raises(CheckpointError, match=r"vectors\.touch\.entries: expected 4, the number that"):
        matched(Reader(VectorInput("touch", 4)), contract())


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (
            VectorInput("wrensch", 1, ("force.x",)),
            "observation.wrensch: the checkpoint reads it with the entries force.x, and the contract has no "
            "such vector; its vectors: wrench, touch. Did you mean 'wrench'? Add 'vectors.wrensch' with its",
        ),
        (VectorInput("other", 4), "reads it with 4 entries, and the contract has no such vector"),
        (
            VectorInput("wrench", 1, ("torque.x",)),
            "vectors.wrench.entries: expected those that the checkpoint was trained with: torque.x, got "
            "force.x, force.y, force.z",
        ),
    ],
)
def test_what_the_robot_lacks_is_refused_with_the_key_that_mends_it(vector: VectorInput, said: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        matched(Reader(vector), contract())
    assert said in str(caught.value)
