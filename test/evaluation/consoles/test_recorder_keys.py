# SPDX-License-Identifier: Apache-2.0
"""What the keys of the recorder's console make the recorder do, and what its panel says."""

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from panel_nodes import MuteRecorder, PanelNodes
from rich.console import Console
from ros_testing import spinning
from waiting import wait_for

from dit_policy_ros.evaluation.consoles._recorder_client import RecorderClient
from dit_policy_ros.evaluation.consoles._recorder_keys import RecorderKeys
from dit_policy_ros.evaluation.consoles._recorder_panel import recorder_panel
from dit_policy_ros.msg import EpisodeReport, RecorderStatus

INTERRUPTED = RecorderStatus(state=RecorderStatus.READY, interrupted=["'lift', 3 frames"])


class Client:
    """A recorder's client that notes what it is asked."""

    def __init__(self, status: RecorderStatus) -> None:
        self.status, self.asked = status, []
        self.is_recording = self.has_episode = status.state == RecorderStatus.RECORDING

    def __getattr__(self, name: str):
        return lambda *values, **named: self.asked.append((name, *values, *named.values()))


@pytest.fixture
def recording() -> Client:
    return Client(RecorderStatus(state=RecorderStatus.RECORDING))


def press(keys: RecorderKeys, text: str) -> None:
    for key in text:
        assert keys.press(key)


@pytest.mark.parametrize(
    ("typed", "task"),
    [
        ("tlift\n", "lift"),
        ("tlift\r", "lift"),
        ("tlifd\x7ft\r", "lift"),
        ("tlifd\bt\r", "lift"),
        ("tli\x1b", "one"),
        ("t\r", "one"),
        ("tsdq\r", "sdq"),  # no key does its work meanwhile
    ],
)
def test_a_line_ends_at_enter_however_the_terminal_sends_it(typed, task, recording) -> None:
    keys = RecorderKeys(recording, "one")
    press(keys, typed)
    assert keys.task == task and keys.prompt == ""
    assert recording.asked == ([("set_task", task)] if task != "one" else [])


def test_what_is_typed_is_shown_while_the_status_stays_live(recording) -> None:
    keys = RecorderKeys(recording, "one")
    press(keys, "tlif")
    assert "lif_" in keys.prompt


@pytest.mark.parametrize(
    ("key", "status", "asked"),
    [
        ("d", RecorderStatus(state=RecorderStatus.RECORDING), ("stop_episode", False, False)),
        ("r", RecorderStatus(state=RecorderStatus.RECORDING), ("rerecord",)),
        ("x", INTERRUPTED, ("recover", False)),
    ],
)
def test_nothing_is_discarded_without_a_yes(key, status, asked) -> None:
    client = Client(status)
    keys = RecorderKeys(client, "one")
    press(keys, f"{key}n")
    assert client.asked == [] and keys.prompt == ""
    press(keys, key)
    assert "Discard" in keys.prompt and "y" in keys.prompt
    press(keys, "y")
    assert client.asked == [asked]
    press(keys, "y")
    assert client.asked == [asked], "a second y is no key"


def test_without_an_episode_there_is_nothing_to_ask() -> None:
    client = Client(RecorderStatus(state=RecorderStatus.READY))
    keys = RecorderKeys(client, "one")
    press(keys, "drx")
    assert keys.prompt == "" and client.asked == []
    press(keys, "s f")
    assert [name for name, *_ in client.asked] == ["start_episode", "stop_episode", "stop_episode"]
    assert not keys.press("q")


@pytest.fixture
def client(ros_domain) -> Iterator[RecorderClient]:
    console = rclpy.create_node("console")
    with spinning(console):
        yield RecorderClient(console, "/recorder")


def test_an_instruction_reaches_an_episode_that_has_no_frame_yet(client) -> None:
    with spinning(nodes := PanelNodes()):
        nodes.recorder.state = RecorderStatus.RECORDING
        wait_for(lambda: client.is_recording, 10.0, "the episode is heard")

        def arrived() -> bool:  # a request is lost while the server does not know the client yet
            client.set_task("another")
            return "/recorder/set_task" in nodes.names

        wait_for(arrived, 10.0, "the recorder is asked", interval=0.3)
    assert {request.task for _, request in nodes.called} == {"another"}


def test_a_request_without_an_answer_is_said(ros_domain) -> None:
    console = rclpy.create_node("console")
    with spinning(console), spinning(mute := MuteRecorder()):
        client = RecorderClient(console, "/mute", answers_within=0.2)

        def told() -> bool:
            client.expire(float("inf"))
            return "no answer from /mute/start_episode" in client.message

        wait_for(lambda: client._calls.is_ready("/mute/start_episode"), 10.0, "the service is found")
        client.start_episode("lift")
        assert "waiting" in client.message
        wait_for(told, 10.0, "the operator is told")
        assert client.is_refused
        mute.wake.set()


def test_a_refusal_is_forgotten_when_the_recorder_changes(client) -> None:
    client.start_episode("lift")
    assert client.is_refused and "does not exist" in client.message
    with spinning(PanelNodes()):
        wait_for(lambda: client.is_alive, 10.0, "the recorder is heard")
        wait_for(lambda: client.message == "", 10.0, "what was wrong is over")


def drawn(client, prompt: str = "") -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(recorder_panel(client, "lift", prompt))
    return console.file.getvalue()


@pytest.mark.parametrize(("passed", "word", "colour"), [(True, "PASSED", "42"), (False, "FAILED", "41")])
def test_the_verdict_has_a_colour_and_its_reasons(client, passed, word, colour) -> None:
    client.report = EpisodeReport(episode_index=3, passed=passed, reasons=[] if passed else ["top is frozen"])
    text = drawn(client, "Discard this episode?")
    assert f"{colour}m Episode 3 {word} the check" in text
    assert ("top is frozen" in text) != passed and "Discard this episode?" in text


def test_the_encoders_queue_is_shown_while_an_episode_runs() -> None:
    def shown(state: int) -> str:
        status = RecorderStatus(state=state, state_name="recording", encoder_queue=4)
        client: Any = SimpleNamespace(status=status, is_alive=True, message="", report=None)
        out = io.StringIO()
        Console(file=out, width=100).print(recorder_panel(client, "lift"))
        return out.getvalue()

    assert "4 frames wait" in shown(RecorderStatus.RECORDING)
    assert "frames wait" not in shown(RecorderStatus.READY)
