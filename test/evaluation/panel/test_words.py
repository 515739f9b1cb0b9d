# SPDX-License-Identifier: Apache-2.0
"""The panel's rules without ROS traffic: the one word, undo, charge, stop, tasks and tokens."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.core.sensing import LEFT
from dit_policy_ros.evaluation.panel._charge import Charge
from dit_policy_ros.evaluation.panel._grace import Grace
from dit_policy_ros.evaluation.panel._headline import BLUE, RED, headline
from dit_policy_ros.evaluation.panel._heartbeat import Heartbeat
from dit_policy_ros.evaluation.panel._stop_level import StopLevel
from dit_policy_ros.evaluation.panel._tasks import next_task, progress, similar_task
from dit_policy_ros.evaluation.panel.web import Keys
from dit_policy_ros.msg import EpisodeReport, PolicyStatus, RecorderStatus

RUNNING = PolicyStatus(state=PolicyStatus.RUNNING)
HOLD = PolicyStatus(state=PolicyStatus.HOLD, hold_reason="camera top is stale")
STOPPED = PolicyStatus(state=PolicyStatus.HOLD, e_stop=True)
READY = RecorderStatus(state=RecorderStatus.READY)
RECORDING = RecorderStatus(state=RecorderStatus.RECORDING, elapsed=3.0)
STALE = RecorderStatus(state=RecorderStatus.RECORDING, stale_streams=["top"])
FULL = RecorderStatus(state=RecorderStatus.READY, problem="the disk is full")
FAILED = EpisodeReport(passed=False, reasons=["top is frozen"])


class Clock:
    now = 100.0  # [s]

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("policy", "recorder", "failed", "word"),
    [
        (None, None, None, "NO NODE"),
        (None, READY, None, "READY"),
        (None, RECORDING, None, "RECORDING"),
        (None, READY, FAILED, "FAILED CHECK"),
        (None, RECORDING, FAILED, "RECORDING"),
        (None, STALE, None, "STALE"),
        (None, FULL, None, "PROBLEM"),
        (RUNNING, RECORDING, None, "RUNNING"),
        (RUNNING, FULL, None, "PROBLEM"),
        (HOLD, FULL, None, "HOLD"),
        (STOPPED, RECORDING, None, "STOPPED"),
        (PolicyStatus(state=PolicyStatus.INACTIVE, state_name="inactive"), None, None, "INACTIVE"),
    ],
)
def test_faults_come_before_what_moves_and_what_is_recorded(policy, recorder, failed, word) -> None:
    found = headline(policy, recorder, failed)
    assert found.word == word and found.next_step
    bad = word in ("FAILED CHECK", "STALE", "PROBLEM", "HOLD", "STOPPED")
    assert (found.color == RED) == bad


def test_a_hold_says_its_reason_and_its_remedy() -> None:
    assert headline(HOLD, None, None).reason == "camera top is stale"
    assert "Resume" in headline(HOLD, None, None).next_step
    itself = PolicyStatus(state=PolicyStatus.HOLD, hold_recoverable=True)
    assert "by itself" in headline(itself, None, None).next_step


def test_what_waits_is_done_once_when_its_time_is_over_and_not_before() -> None:
    clock, done = Clock(), []
    grace = Grace(clock)
    grace.later("Discard", lambda: done.append("discarded"))
    clock.now += 9.9
    grace.tick()
    assert done == [] and grace.waits
    clock.now += 0.2
    grace.tick()
    grace.tick()
    assert done == ["discarded"] and grace.undo() == ""


def test_undo_takes_back_what_waits_and_reverses_what_is_done() -> None:
    clock, done = Clock(), []
    grace = Grace(clock)
    grace.later("Discard", lambda: done.append("discarded"))
    assert grace.undo() == "Discard"
    grace.done("Failure", lambda: done.append("a success after all"))
    assert grace.undo() == "Failure" and done == ["a success after all"]
    grace.done("Failure", lambda: done.append("too late"))
    clock.now += 10.1
    assert grace.undo() == "" and done == ["a success after all"]


def test_a_new_word_carries_out_the_one_that_waits() -> None:
    done = []
    grace = Grace(Clock())
    grace.later("Delete 1", lambda: done.append(1))
    grace.later("Delete 2", lambda: done.append(2))
    assert done == [1]
    assert grace.forget() == "Delete 2" and done == [1]


def test_one_page_is_in_charge_until_it_is_lost() -> None:
    clock = Clock()
    charge = Charge(2.0, clock)
    assert charge.take("a") and not charge.take("b") and not charge.beat("b")
    clock.now += 1.9
    assert charge.beat("a") and not charge.drop_lost()
    clock.now += 2.1
    assert charge.drop_lost() and charge.holder == "" and not charge.drop_lost()
    assert charge.take("b") and charge.take("a", by_force=True) and not charge.release("b")
    assert not charge.has("") and charge.release("a")


def test_a_stop_is_a_level() -> None:
    clock, sent = Clock(), []
    stop = StopLevel(lambda: sent.append(clock.now), clock)
    stop.press()
    stop.tick(True, clock.now - 1.0)  # said before the stop was pressed
    assert stop.wanted
    clock.now += 0.3
    stop.tick(False, clock.now)
    assert len(sent) == 2
    clock.now += 0.3
    stop.tick(True, clock.now)
    assert not stop.wanted and len(sent) == 2


def test_the_task_furthest_from_its_goal_comes_next() -> None:
    listed = progress(["a", "b"], {"b": 3, "c": 5}, goal=5)
    assert [(each.task, each.done) for each in listed] == [("a", 0), ("b", 3), ("c", 5)]
    assert next_task(listed) == "a"
    assert next_task(progress(["a"], {"a": 5}, goal=5)) == ""


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("pick the rde cube", "pick the red cube"),
        ("Pick the red cube", "pick the red cube"),
        ("pick the red cube", ""),
        ("pick  the red cube ", ""),
        ("fold a towel", ""),
        ("", ""),
    ],
)
def test_a_mistyped_task_is_asked_about(text, meant) -> None:
    assert similar_task(text, ["pick the red cube", "push the button"]) == meant


def test_tokens_and_cookies_cannot_be_made_up() -> None:
    keys = Keys("a-token-for-tests-only")
    operator, watcher = keys.visitor(keys.cookie(keys.operate)), keys.visitor(keys.cookie(keys.watch))
    assert operator.may_operate and not watcher.may_operate and operator.browser != watcher.browser
    assert keys.cookie("") == keys.cookie("wrong") == keys.cookie(keys.operate + "x") == ""
    forged = keys.cookie(keys.watch).replace("watch", "operate")
    for cookie in ("", "operate", "operate.x.", "..", forged, keys.cookie(keys.operate)[:-1]):
        assert keys.visitor(cookie) is None
    assert Keys().operate != Keys().operate
    assert Keys("other-token-for-tests").visitor(keys.cookie(keys.operate)) is None


def test_a_panel_that_is_in_charge_gives_signs_of_life_and_says_when_it_leaves() -> None:
    clock, sent = Clock(), []
    heart = Heartbeat(sent.append, clock)
    heart.tick(False)
    assert sent == [], "nobody watches through a panel that nobody is in charge of"
    for _ in range(5):
        clock.now += 0.25
        heart.tick(True)
        heart.tick(True)
    assert sent == [""] * 5
    clock.now += 0.5
    heart.tick(False)
    assert sent == [""] * 5, "a page that was lost is silence"
    heart.leave()
    heart.tick(False)
    clock.now += 0.3
    heart.tick(False)
    assert sent[5:] == [LEFT, LEFT], "again, because it may get lost"
    clock.now += 5.0
    heart.tick(False)
    assert len(sent) == 7
    heart.tick(True)
    assert sent[7:] == [""]


def test_who_drives_is_said_in_one_word_and_a_colour_of_its_own() -> None:
    led = PolicyStatus(state=PolicyStatus.INTERVENTION, intervention="bring the leader closer")
    found = headline(led, RECORDING, None)
    assert (found.word, found.next_step, found.color) == ("PERSON DRIVES", "bring the leader closer", BLUE)
    assert headline(PolicyStatus(state=PolicyStatus.HOMING), None, None).word == "GOING HOME"
