# SPDX-License-Identifier: Apache-2.0
import json

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from dit_policy_ros.ros.common import EventLog, Severity


class Logger:
    def __init__(self):
        self.lines = []

    def info(self, line):
        self.lines.append(("info", line))

    def warning(self, line):
        self.lines.append(("warning", line))

    def error(self, line):
        self.lines.append(("error", line))


class Clock:
    ns = 0

    def __call__(self):
        return self.ns


@pytest.fixture
def log():
    logger, clock = Logger(), Clock()
    return EventLog(logger, clock, period=5.0, remembered=3), logger, clock


def test_a_line_has_a_sentence_and_json_values(log):
    events, logger, _ = log
    events.add(Severity.WARNING, "idle", "nothing moves", task='pick "it"', seconds=5.5)
    severity, line = logger.lines[0]
    assert severity == "warning"
    assert line.startswith("idle: nothing moves [")
    assert json.loads(line.partition("task=")[2].partition(" seconds")[0]) == 'pick "it"'


def test_repeats_that_differ_only_in_numbers_are_counted(log):
    events, logger, clock = log
    for i in range(1000):
        clock.ns += 2_000_000
        events.add(Severity.ERROR, "joint_states", f"position {i * 0.1:.3g} of joint_{i} is not finite")
    assert len(logger.lines) == 1
    events.add(Severity.ERROR, "joint_states", "something else")
    assert len(logger.lines) == 2, "a different sentence is a different event"
    clock.ns += 5_000_000_000
    events.add(Severity.ERROR, "joint_states", "position nan of joint_7 is not finite")
    assert logger.lines[-1][1].endswith("[repeated=999]")


def test_memory_use_is_bounded(log):
    events, _, _ = log
    for i in range(2000):
        events.add(Severity.INFO, "kind" + "x" * i, "text")
    assert len(events._printed) <= 256
    assert [len(event["kind"]) for event in events.recent()] == [4 + 1997, 4 + 1998, 4 + 1999]
