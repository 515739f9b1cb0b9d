# SPDX-License-Identifier: Apache-2.0
"""What an episode lacks fails its check or is a warning: dropped samples, commands that nobody recorded."""

import copy

import numpy as np
import pytest
from contracts import SMALL_CONTRACT, SMALL_MAPPING

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.recording import (
    CheckThresholds,
    CommandedTrajectory,
    CommandStream,
    EpisodeCheck,
    StreamLosses,
    check_episode,
)
from dit_policy_ros.core.recording._episode_trace import EpisodeTrace
from dit_policy_ros.core.recording._losses import left_behind
from dit_policy_ros.core.sensing import StreamCounters

FRAMES, FPS = 90, 30.0
RAMP = np.linspace(0.0, 1.0, FRAMES)  # (N,)
RANGES = np.array([4.0, 0.04, 4.0])  # (D,)


def check(
    state: np.ndarray, action: np.ndarray, losses=None, repeated=(), contract=SMALL_CONTRACT
) -> EpisodeCheck:
    """The check of an episode with this state and action (N, D) each. repeated: (stream, frames)."""
    trace = EpisodeTrace(FPS, ("top", "wrist"))
    for number, (position, command) in enumerate(zip(state, action, strict=True)):
        stamp = round(number / FPS * 1e9)
        trace.add(stamp, position, command, [stamp, stamp], ())
    for name, frames in repeated:
        trace.mark_repeated(name, frames)
    return check_episode(trace, FPS, {}, contract, CheckThresholds(), losses or {})


def moving() -> np.ndarray:
    return RAMP[:, None] * np.array([1.0, 0.03, 1.0])  # (N, D)


def test_a_command_that_stops_while_its_joint_goes_on_fails_the_check() -> None:
    action = moving() + 0.002
    action[30:, 0] = action[30, 0]  # the teleoperation goes over to goals, or to another topic
    result = check(moving(), action)
    assert not result.passed
    (reason,) = result.reasons
    assert reason.startswith("shoulder: the command stood still while the joint moved away from it, at ")


@pytest.mark.parametrize("lag", [3, 20])
def test_a_joint_that_is_still_on_its_way_does_not_count(lag: int) -> None:
    action = moving()
    state = np.concatenate([np.repeat(action[:1], lag, axis=0), action[:-lag]])  # follows later
    action = np.concatenate([action[:60], np.repeat(action[60:61], FRAMES - 60, axis=0)])
    state = np.where(np.arange(FRAMES)[:, None] < 60 + lag, state, action[60])
    assert not left_behind(state, action, RANGES).any()


def test_a_gripper_that_is_stopped_by_an_object_did_not_move_away() -> None:
    state, action = moving(), moving()
    state[40:, 1] = state[40, 1]
    assert not left_behind(state, action, RANGES).any()


def test_a_short_push_is_a_warning() -> None:
    state, action = moving(), moving()
    action[60:] = action[60]
    state[60:] = state[60]
    state[70:73, 2] += 0.3
    result = check(state, action)
    assert result.passed and any("elbow: the command stood still" in text for text in result.warnings)


def test_lost_samples_are_a_warning_until_they_leave_frames_without_one() -> None:
    losses = {
        "top": StreamLosses(StreamCounters(accepted=80, refused=7, late=2, future=1), "image is cut"),
        "wrist": StreamLosses(StreamCounters(accepted=90)),
    }
    text = (
        "top: of 90 samples 7 could not be used, 2 came too late, 1 had a stamp in the future: image is cut"
    )
    result = check(moving(), moving(), losses)
    assert result.passed and text in result.warnings
    assert not any("wrist" in warning for warning in result.warnings)
    result = check(moving(), moving(), losses, [("top", range(10, 20))])
    assert text in result.reasons


def test_commands_that_could_not_be_recorded_explain_the_missing_actions() -> None:
    losses = {
        "arm": StreamLosses(StreamCounters(accepted=5, refused=50), "trajectory is for joints shoulder")
    }
    result = check(moving(), moving(), losses, [("action", range(30, 90))])
    assert any(text.startswith("action: 60 of 90 frames") for text in result.reasons)
    assert any(text.startswith("arm: of 55 samples 50 could not be used: tra") for text in result.reasons)


def command(received_ns: int) -> CommandedTrajectory:
    return CommandedTrajectory(received_ns, np.zeros(2), np.array([received_ns]), np.ones((1, 2)), None)


def test_the_action_is_known_until_a_command_cannot_be_read_and_from_the_next_on() -> None:
    stream = CommandStream(SMALL_CONTRACT.controllers[0], keep=5.0)
    assert stream.is_known(0)
    stream.push(command(100))
    stream.refuse("for some joints only", 200)
    stream.push(command(300))
    stream.refuse("for some joints only", 400)
    assert [stream.is_known(time) for time in (150, 250, 350, 450)] == [True, False, True, False]
    assert (stream.counters.accepted, stream.counters.refused) == (2, 2)
    stream.push(command(50))  # our clock was set back
    assert stream.is_known(450)


def test_a_continuous_joint_that_turns_neither_jumps_nor_stands_still() -> None:
    mapping = copy.deepcopy(SMALL_MAPPING)
    mapping["limits"]["elbow"] = {"continuous": True, "velocity": 2.0, "acceleration": 8.0}
    contract = parse_contract(mapping, "test")
    state = moving()
    state[:, 2] = (2.5 + 1.5 * RAMP + np.pi) % (2.0 * np.pi) - np.pi  # passes pi
    result = check(state, state.copy(), contract=contract)
    assert result.passed and result.warnings == ()
    state[:, 2] = 1.0
    result = check(state, state.copy(), contract=contract)
    assert result.still_joints == ("elbow",)
