# SPDX-License-Identifier: Apache-2.0
"""The panel without a browser, over DDS: who may say what, what can be undone, when it stops the policy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from lifecycle_msgs.msg import Transition
from panel_nodes import MuteRecorder, PanelNodes
from ros_testing import spinning
from waiting import wait_for

from dit_policy_ros.evaluation.panel import Panel, PanelSettings
from dit_policy_ros.msg import PolicyStatus, RecorderStatus
from dit_policy_ros.srv import StartEpisode

OPERATOR, WATCHER = "operator", "watcher"


@pytest.fixture
def nodes(ros_domain) -> Iterator[PanelNodes]:
    started = PanelNodes()
    with spinning(started):
        yield started


def make_panel(**settings) -> Panel:
    return Panel(rclpy.create_node("panel"), PanelSettings(tasks=("pick",), **settings))


@pytest.fixture
def panel(nodes) -> Iterator[Panel]:
    """A panel that hears both nodes; a page in charge need not send heartbeats."""
    made = make_panel(lost_after=1e9, undo=1.0)
    with made:
        client = made.client
        ready = ("/policy/e_stop", "/recorder/start_episode", "/recorder/stop_episode", "/recorder/rerecord")
        wait_for(lambda: client.policy and client.recorder, 10.0, "both nodes are heard")
        wait_for(lambda: all(map(client.calls.is_ready, ready)), 10.0, "the services are found")
        made.operator.take_charge(OPERATOR)
        yield made


def begin(panel: Panel, nodes: PanelNodes) -> None:
    def asked() -> bool:  # a request is lost while the server does not know the client yet
        if "/recorder/start_episode" not in nodes.names:
            assert panel.operator.start(OPERATOR) == ""
        return panel.client.recorder.state == RecorderStatus.RECORDING

    wait_for(asked, 10.0, "an episode runs", interval=0.3)


def test_a_watcher_may_only_stop(panel, nodes) -> None:
    operator = panel.operator
    words = (operator.start, operator.save, operator.failure, operator.discard, operator.again, operator.undo)
    more = (operator.resume, operator.release_stop, operator.save_incident, operator.at_once)
    for word in (*words, *more):
        assert "Take charge" in word(WATCHER), word
    assert operator.choose_task(WATCHER, "x") and operator.tell_policy(WATCHER, "x")
    assert (
        operator.relabel(WATCHER, 0, True) and operator.remove(WATCHER, 0) and operator.recover(WATCHER, True)
    )
    assert operator.set_velocity_scale(WATCHER, 0.5) and operator.take_charge(WATCHER)
    assert operator.start("") and nodes.called == []
    assert operator.stop(WATCHER) == ""
    wait_for(lambda: nodes.policy.e_stop, 10.0, "the policy is stopped")


def test_discard_waits_and_undo_keeps_the_recording(panel, nodes) -> None:
    begin(panel, nodes)
    assert panel.operator.discard(OPERATOR) == ""
    assert panel.headline(0.0).word.startswith("DISCARD")
    assert panel.operator.undo(OPERATOR) == ""
    assert panel.headline(0.0).word != "DISCARD"
    assert panel.operator.discard(OPERATOR) == ""
    wait_for(lambda: "/recorder/stop_episode" in nodes.names, 10.0, "it is discarded when the time is over")
    stops = [request for name, request in nodes.called if name == "/recorder/stop_episode"]
    assert [request.save for request in stops] == [False], "the first discard was taken back"


def test_start_during_a_discard_discards_first(panel, nodes) -> None:
    begin(panel, nodes)
    panel.operator.discard(OPERATOR)
    panel.operator.start(OPERATOR)
    wait_for(
        lambda: nodes.names[-2:] == ["/recorder/stop_episode", "/recorder/start_episode"], 10.0, "in order"
    )


def test_again_asks_once_and_a_save_takes_it_back(panel, nodes) -> None:
    begin(panel, nodes)
    panel.operator.again(OPERATOR)
    panel.operator.save(OPERATOR)
    wait_for(lambda: "/recorder/stop_episode" in nodes.names, 10.0, "it is saved")
    wait_for(lambda: panel.operator.grace.held, 10.0, "the save can be undone")
    assert "/recorder/rerecord" not in nodes.names
    begin_again = nodes.called[-1][1]
    assert begin_again.save and begin_again.success_label


def test_an_undone_label_is_changed_by_the_recorder(panel, nodes, tmp_path) -> None:
    nodes.recorder.dataset = str(tmp_path)
    begin(panel, nodes)
    panel.operator.failure(OPERATOR)
    wait_for(lambda: panel.operator.grace.held, 10.0, "the failure can be undone")
    assert panel.operator.undo(OPERATOR) == ""
    wait_for(lambda: "/recorder/relabel_episode" in nodes.names, 20.0, "the recorder is asked")
    wait_for(lambda: not panel.operator.edits.is_busy, 20.0, "it has answered")
    request = next(request for name, request in nodes.called if name == "/recorder/relabel_episode")
    assert (request.episode, request.set_success, request.success_label, request.task) == (7, True, True, "")
    assert "/recorder/change_state" not in nodes.names, "the dataset stays open"


def test_a_removal_closes_and_reopens_the_dataset(panel, nodes, tmp_path) -> None:
    edited = []
    panel.operator.edits._edit = lambda root, labels, removed: edited.append((root, labels, removed)) or ""
    nodes.recorder.dataset = str(tmp_path)
    panel.operator.remove(OPERATOR, 2)
    steps = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
    steps += (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)

    def asked() -> list[int]:
        return [request.transition.id for name, request in nodes.called if name == "/recorder/change_state"]

    wait_for(
        lambda: len(asked()) == 4 and not panel.operator.edits.is_busy, 20.0, "the recorder is ready again"
    )
    assert asked() == list(steps)
    assert edited == [(Path(tmp_path), {}, {2})]


def test_an_edit_that_fails_is_said_and_the_recorder_opens_again(panel, nodes, tmp_path) -> None:
    panel.operator.edits._edit = lambda *_: "no space left"
    nodes.recorder.dataset = str(tmp_path)
    panel.operator.remove(OPERATOR, 0)
    wait_for(lambda: nodes.names.count("/recorder/change_state") == 4, 20.0, "it is open again")
    assert any("no space left" in event.text and event.is_bad for event in panel.client.events)


def test_nothing_is_edited_while_an_episode_runs_or_is_being_added(panel, nodes, tmp_path) -> None:
    nodes.recorder.dataset, nodes.recorder.waiting = str(tmp_path), 1
    wait_for(lambda: panel.client.recorder.waiting, 10.0, "it is heard")
    panel.operator.edits._edit = lambda *_: ""
    panel.operator.remove(OPERATOR, 0)
    begin(panel, nodes)
    nodes.recorder.waiting = 0
    wait_for(lambda: not panel.client.recorder.waiting, 10.0, "it is heard")
    assert "/recorder/change_state" not in nodes.names
    assert panel.operator.edits.waits


def test_a_lost_page_in_charge_stops_the_policy_and_loses_nothing(nodes) -> None:
    with make_panel(lost_after=1.0) as panel:
        wait_for(lambda: panel.client.policy and panel.client.recorder, 10.0, "both nodes are heard")
        wait_for(lambda: panel.client.calls.is_ready("/policy/e_stop"), 10.0, "the e-stop is found")
        nodes.recorder.state = RecorderStatus.RECORDING
        wait_for(lambda: panel.client.recorder.state == RecorderStatus.RECORDING, 10.0, "it is heard")
        panel.operator.take_charge(OPERATOR)
        panel.operator.discard(OPERATOR)
        wait_for(lambda: nodes.policy.e_stop, 10.0, "the policy is stopped")
        assert panel.operator.charge.holder == "" and not panel.operator.grace.waits
        assert "/recorder/stop_episode" not in nodes.names, "the episode goes on"
        assert any("lost its connection" in event.text for event in panel.client.events)


def test_a_page_that_left_charge_may_close(nodes) -> None:
    with make_panel(lost_after=0.3) as panel:
        wait_for(lambda: panel.client.policy, 10.0, "the policy is heard")
        wait_for(lambda: panel.client.calls.is_ready("/policy/e_stop"), 10.0, "the e-stop is found")
        panel.operator.take_charge(OPERATOR)
        assert panel.operator.release_charge(OPERATOR) == ""
        nodes.policy.task = "later"
        wait_for(lambda: panel.client.policy.task == "later", 10.0, "time has passed")
        assert not nodes.policy.e_stop and not panel.operator.stop_level.wanted


def test_a_stop_that_gets_lost_is_sent_again_until_it_is_latched(panel, nodes) -> None:
    nodes.deaf.add("/policy/e_stop")
    panel.operator.stop(WATCHER)
    wait_for(lambda: nodes.names.count("/policy/e_stop") >= 3, 10.0, "it is sent again")
    assert panel.operator.stop_level.wanted
    nodes.deaf.clear()
    wait_for(lambda: nodes.policy.e_stop and not panel.operator.stop_level.wanted, 10.0, "it is latched")


def test_a_service_that_does_not_answer_is_said(panel, nodes) -> None:
    answers = []
    with spinning(mute := MuteRecorder()):
        calls = panel.client.calls
        calls.prepare(StartEpisode, "/mute/start_episode")
        wait_for(lambda: calls.is_ready("/mute/start_episode"), 10.0, "the service is found")
        calls.call(StartEpisode, "/mute/start_episode", StartEpisode.Request(), answers.append, timeout=0.3)
        wait_for(lambda: answers, 10.0, "the operator is told")
        assert not answers[0].success and "no answer from /mute/start_episode" in answers[0].message
        mute.wake.set()
        calls.call(StartEpisode, "/nowhere/start_episode", StartEpisode.Request(), answers.append)
        wait_for(
            lambda: any("does not exist" in answer.message for answer in answers), 10.0, "it is said at once"
        )


def test_two_deletions_are_one_edit_and_an_old_list_is_refused(panel, nodes, tmp_path) -> None:
    edited = []
    panel.operator.edits._edit = lambda root, labels, removed: edited.append((labels, removed)) or ""
    nodes.recorder.dataset = str(tmp_path)
    assert panel.operator.remove(OPERATOR, 1) == "" and panel.operator.remove(OPERATOR, 3) == ""
    wait_for(lambda: edited and not panel.operator.edits.is_busy, 20.0, "the episodes are removed")
    assert edited == [({}, {1, 3})], "with the indices that the operator saw"
    assert "choose again" in panel.operator.remove(OPERATOR, 4, generation=0)
    assert "choose again" in panel.operator.relabel(OPERATOR, 4, True, generation=0)
    assert panel.operator.relabel(OPERATOR, 2, True, generation=1) == ""


def test_a_start_while_a_deletion_waits_only_starts(panel, nodes) -> None:
    panel.operator.remove(OPERATOR, 1)
    begin(panel, nodes)
    assert "/recorder/stop_episode" not in nodes.names and panel.operator.edits.removed == {1}


def test_again_after_discard_replaces_it(panel, nodes) -> None:
    begin(panel, nodes)
    panel.operator.discard(OPERATOR)
    panel.operator.again(OPERATOR)
    wait_for(lambda: "/recorder/rerecord" in nodes.names, 10.0, "it begins again")
    assert "/recorder/stop_episode" not in nodes.names


def test_a_person_takes_over_hands_back_and_sends_the_arms_home_only_in_charge(panel, nodes) -> None:
    for name in ("take_over", "hand_back", "home"):
        word = getattr(panel.operator, name)
        assert word(WATCHER), "who only watches is refused"
        assert word(OPERATOR) == ""
        wait_for(lambda name=name: f"/policy/{name}" in nodes.names, 10.0, name)
    called = [name for name in nodes.names if name.startswith("/policy/")]
    assert called == ["/policy/take_over", "/policy/hand_back", "/policy/home"]


def test_a_hold_whose_reason_counts_an_age_is_one_hold(panel, nodes) -> None:
    client, status = panel.client, nodes.policy
    for number in (1, 2):
        status.state, status.hold_reason = PolicyStatus.RUNNING, ""
        wait_for(lambda: client.policy.state == PolicyStatus.RUNNING, 10.0, "it runs")
        for age in (0.7, 0.8, 0.9):
            status.hold_reason, status.state = f"stale observation: {age} s old", PolicyStatus.HOLD
            wait_for(lambda: client.policy.hold_reason == status.hold_reason, 10.0, "the reason is heard")
        assert [reason for _, reason in client.holds] == ["stale observation: 0.9 s old"] * number
    status.hold_reason = "the e-stop is latched"
    wait_for(lambda: client.policy.hold_reason == status.hold_reason, 10.0, "the reason is heard")
    said = [event.text for event in client.events if event.text.startswith("HOLD")]
    assert len(client.holds) == 2 and said[-1] == "HOLD: the e-stop is latched"
    assert len(said) <= 3, "one line for each cause"
