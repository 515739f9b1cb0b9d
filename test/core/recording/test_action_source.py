# SPDX-License-Identifier: Apache-2.0
"""Action sources give one action in the contract's joint order, and report what is missing."""

import copy

import numpy as np
import pytest
from contracts import SMALL_CONTRACT, SMALL_MAPPING, small_mapping

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.core.recording import CommandedActions, CommandedTrajectory, LeaderActions

MS = 1_000_000
SECOND = 1000 * MS


def rest(received_ns: int, *positions: float) -> CommandedTrajectory:
    point = np.array([positions])
    return CommandedTrajectory(received_ns, point[0], np.array([received_ns]), point, None)


def test_commands_of_all_controllers_are_one_action_in_joint_order() -> None:
    actions = CommandedActions(SMALL_CONTRACT, keep=1.0)
    assert set(actions.missing(0)) == {"arm", "hand"}
    actions.streams["arm"].push(rest(0, 3.0, 4.0))
    assert actions.at(0) is None
    assert list(actions.missing(0)) == ["hand"]
    assert "'hand/joint_trajectory': nothing commanded yet" in actions.missing(0)["hand"]
    actions.streams["hand"].push(rest(0, 0.01))
    assert actions.missing(0) == {}
    np.testing.assert_array_equal(actions.at(0), [3.0, 0.01, 4.0])


def test_a_controller_that_takes_goals_is_refused() -> None:
    controllers = copy.deepcopy(SMALL_MAPPING["controllers"])
    controllers["hand"]["type"] = "parallel_gripper_controller"
    contract = parse_contract(small_mapping(controllers=controllers), "test")
    with pytest.raises(ContractError, match=r"controller 'hand': .*takes goals.*action\.source to leader"):
        CommandedActions(contract, keep=1.0)


def test_commands_are_final_on_arrival_and_never_stale() -> None:
    actions = CommandedActions(SMALL_CONTRACT, keep=1.0)
    actions.streams["arm"].push(rest(0, 3.0, 4.0))
    actions.streams["hand"].push(rest(0, 0.01))
    assert actions.is_settled(99, 99)
    assert not actions.is_settled(100, 99)
    assert actions.is_fresh(3600 * SECOND)
    actions.clear()
    assert actions.at(99) is None


def test_the_leader_gives_its_last_position_at_or_before() -> None:
    actions = LeaderActions(SMALL_CONTRACT, "/leader/joint_states", keep=1.0)
    assert "nothing received yet" in actions.missing(0)["leader"]
    for number in range(3):
        actions.stream.push(number * 20 * MS, np.full(3, float(number)))
    assert actions.at(-1) is None
    np.testing.assert_array_equal(actions.at(39 * MS), np.full(3, 1.0))
    assert actions.missing(40 * MS) == {}


def test_the_leaders_action_is_final_after_a_newer_sample_or_a_timeout() -> None:
    actions = LeaderActions(SMALL_CONTRACT, "/leader/joint_states", keep=1.0)
    actions.stream.push(100 * MS, np.zeros(3))
    assert actions.is_settled(100 * MS, 100 * MS)
    assert not actions.is_settled(101 * MS, 1100 * MS)
    assert actions.is_settled(101 * MS, 1102 * MS)


def test_a_silent_leader_is_not_fresh_and_later_missing() -> None:
    actions = LeaderActions(SMALL_CONTRACT, "/leader/joint_states", keep=1.0)
    actions.stream.push(0, np.zeros(3))
    assert actions.is_fresh(60 * MS)
    assert not actions.is_fresh(70 * MS)
    assert "newest sample is 1.000 s old, joint_states.max_age is 0.5 s" in actions.missing(SECOND)["leader"]
    actions.clear()
    assert not actions.is_fresh(0)
