# SPDX-License-Identifier: Apache-2.0
"""Entries of a policy reach the joints that they are, whatever their order, names and units."""

from typing import Any

import numpy as np
import pytest
from contracts import SMALL_CONTRACT, small_mapping

from dit_policy_ros.core.contract import Contract, parse_contract
from dit_policy_ros.core.errors import CheckpointError, ContractError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.core.policy_interface import Policy, check_policy, match_policy

JOINTS = SMALL_CONTRACT.joints  # shoulder, finger, elbow


class Echo:
    """A policy whose chunk is made of its newest state, entry by entry as `from_state` says."""

    description, device, backend, steps, uses_previous, unseen_state = "echo", "cpu", "none", 1, False, ""
    fps, known_tasks, n_obs_steps, horizon, vectors = 30.0, (), 2, 3, ()

    def __init__(
        self, state: Any, action: Any, from_state: list[int] | None = None, cameras: tuple[str, ...] = ()
    ) -> None:
        self.joint_names, self.action_names = state, action
        self.state_dim = len(state or JOINTS)
        self.action_dim = len(action or JOINTS)
        self.from_state = from_state or list(range(self.action_dim))
        self.image_shapes = dict.fromkeys(cameras, (48, 64))
        self.seen: dict[str, Any] = {}

    def predict(self, images: Any, state: Any, task: str, noise: Any = None, previous: Any = None) -> Any:
        self.seen = {"images": images, "state": state, "noise": noise, "previous": previous}
        return np.repeat(state[-1:, self.from_state], 2, axis=0).astype(np.float32)


def matched(policy: Any, contract: Contract) -> Policy:
    found = match_policy(policy, contract.joints, contract.dataset_names, contract.trained_cameras)
    check_policy(found, contract)
    return found


def with_names(*entries: str, **changes: Any) -> Contract:
    return parse_contract(small_mapping(dataset_names=list(entries), **changes), "test")


STATE = np.array([[0.0, 0.0, 0.0], [0.5, 0.02, -1.0]], np.float32)  # shoulder, finger, elbow


def test_a_policy_with_the_robots_names_in_order_is_taken_as_it_is() -> None:
    policy = Echo(JOINTS, JOINTS)
    assert matched(policy, SMALL_CONTRACT) is policy
    nameless = Echo(None, None)
    assert match_policy(nameless, JOINTS) is nameless
    for state, action in ((None, None), (JOINTS, None), (None, JOINTS)):
        with pytest.raises(CheckpointError, match="assume_joints: expected the joints of the entries of"):
            matched(Echo(state, action), SMALL_CONTRACT)


def test_actions_in_another_order_than_the_state_move_their_own_joints() -> None:
    """The state's elbow comes back as the action of the entry `elbow`, wherever that entry is."""
    state, action = ("elbow", "shoulder", "finger"), ("finger", "elbow", "shoulder")
    policy = Echo(state, action, [state.index(name) for name in action])
    robot = matched(policy, SMALL_CONTRACT)
    np.testing.assert_allclose(robot.predict({}, STATE, "task"), np.repeat(STATE[1:], 2, axis=0))
    np.testing.assert_allclose(policy.seen["state"], STATE[:, [2, 0, 1]])
    assert robot.joint_names == robot.action_names == JOINTS
    noise = np.arange(9, dtype=np.float32).reshape(3, 3)
    known = Continuation(np.where(np.arange(3)[:, None] == 2, np.nan, STATE[1:]), 1)
    robot.predict({}, STATE, "task", noise, known)
    np.testing.assert_array_equal(policy.seen["noise"], noise[:, [1, 2, 0]])
    np.testing.assert_allclose(
        policy.seen["previous"].actions[:2], np.repeat(STATE[1:, [1, 2, 0]], 2, axis=0)
    )
    assert np.isnan(policy.seen["previous"].actions[2]).all() and policy.seen["previous"].committed == 1


def test_lerobots_names_in_degrees_are_converted_both_ways() -> None:
    names = ("shoulder.pos", "elbow.pos", "gripper.pos")
    policy = Echo(names, names)
    contract = with_names(
        "shoulder.pos = shoulder * 57.29578", "elbow.pos = elbow * -57.29578 + 90", "gripper.pos=finger*2500"
    )
    robot = matched(policy, contract)
    np.testing.assert_allclose(robot.predict({}, STATE, "task"), np.repeat(STATE[1:], 2, axis=0), atol=1e-6)
    np.testing.assert_allclose(policy.seen["state"][1], [28.64789, 147.29578, 50.0], rtol=1e-6)


def test_several_entries_of_the_state_may_come_from_one_joint() -> None:
    """Nine entries of the state, of which two are the fingers of one gripper, and fewer of the action."""
    state = ("shoulder", "elbow", "finger_left", "finger_right")
    policy = Echo(state, ("shoulder", "elbow", "gripper"), [0, 1, 2])
    contract = with_names(
        "finger_left = finger * 0.5", "finger_right = finger * -0.5", "gripper = finger * 0.5 + 0.0"
    )
    robot = matched(policy, contract)
    np.testing.assert_allclose(robot.predict({}, STATE, "task")[0], STATE[1])
    np.testing.assert_allclose(policy.seen["state"][1], [0.5, -1.0, 0.01, -0.01])
    assert (robot.state_dim, robot.action_dim) == (3, 3)


@pytest.mark.parametrize(
    ("state", "action", "names", "expected"),
    [
        (("shoulder.pos", *JOINTS[1:]), JOINTS, (), r"no joint is called 'shoulder.pos'.*'dataset_names'"),
        (JOINTS, ("x", "y", "z"), (), "action: no joint is called 'x'"),
        (
            JOINTS,
            ("shoulder", "elbow"),
            (),
            "joint 'finger': expected one entry that moves it, got \\(none\\)",
        ),
        (
            JOINTS,
            ("shoulder", "elbow", "twin"),
            ("twin = elbow",),
            "joint 'elbow': expected one entry that moves it, got elbow, twin",
        ),
        (None, None, ("a = elbow",), "does not name its entries, so 'dataset_names' cannot be applied"),
    ],
)
def test_entries_that_belong_to_no_joint_are_refused(
    state: Any, action: Any, names: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(CheckpointError, match=expected):
        matched(Echo(state, action), with_names(*names))


def test_a_camera_may_have_another_name_in_the_training_data() -> None:
    cameras = small_mapping()["cameras"]
    cameras["top"] = cameras["top"] | {"trained_as": "head.rgb"}
    policy = Echo(JOINTS, JOINTS, cameras=("head.rgb",))
    robot = matched(policy, parse_contract(small_mapping(cameras=cameras), "test"))
    assert robot.image_shapes == {"top": (48, 64)}
    image = np.zeros((2, 48, 64, 3), np.uint8)
    robot.predict({"top": image}, STATE, "task")
    assert policy.seen["images"]["head.rgb"] is image


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("shoulder", "expected 'DATASET_NAME = JOINT'"),
        ("a = elbo", "Did you mean 'elbow'"),
        ("a = elbow * 0", "a scale that is not 0"),
        ("a = elbow * nan", "expected 'DATASET_NAME = JOINT'"),
        (3, "expected a list of"),
    ],
)
def test_mistakes_in_the_names_are_named(entry: Any, expected: str) -> None:
    with pytest.raises(ContractError, match=expected):
        with_names(entry)
    with pytest.raises(ContractError, match="each name of the dataset once"):
        with_names("a = elbow", "a = finger")
