# SPDX-License-Identifier: Apache-2.0
"""Each finding on /diagnostics is reported for its cause, and only for that; also over DDS, by the node."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from contracts import SMALL_CONTRACT
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from policy_watch import running
from ros_testing import call
from small_robot import TASKS
from std_srvs.srv import SetBool
from waiting import wait_for

from dit_policy_ros.core.policy_interface import TaskReaction
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.policy._diagnostics import PolicyHealth, StreamHealth

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
SETTINGS = {"control_rate": 50.0, "plan_horizon": 0.5, "replan_interval": 0.1, "idle_time": 5.0}
HEALTHY = {
    "state": PolicyStatus.RUNNING,
    "state_name": "running",
    "task": "pick it up",
    "known_task": True,
    "device": "cpu",
    "inference_latency_p50": 0.05,
    "inference_latency_p95": 0.06,
    "chunk_age": 0.1,
    "control_rate": 50.0,
    "control_interval_p99": 0.022,
}
SECOND = 1_000_000_000


def entries(*reports: dict, reaction: TaskReaction | None = None) -> dict[str, DiagnosticStatus]:
    """The entries after the last of some statuses. Each is a healthy status with changes."""
    health = PolicyHealth("small", SETTINGS, 1 / 30, ("pick it up", "put it down"))
    reaction = reaction or TaskReaction(np.array([True]))
    for changes in reports:
        found = health.report("policy", PolicyStatus(**(HEALTHY | changes)), reaction)
    return {entry.name.removeprefix("policy: "): entry for entry in found}


def test_a_healthy_node_has_no_findings():
    found = entries({}, {"plans": 10, "limited_knots": 3})
    assert set(found) == {"motion", "inference", "control", "task"}
    assert {entry.level for entry in found.values()} == {OK}
    assert {entry.hardware_id for entry in found.values()} == {"small"}


@pytest.mark.parametrize(
    ("changes", "part", "level", "words"),
    [
        ({"state": PolicyStatus.HOLD, "hold_reason": "NaN"}, "motion", ERROR, ["NaN", "~/resume"]),
        (
            {"state": PolicyStatus.HOLD, "hold_reason": "stale", "hold_recoverable": True},
            "motion",
            WARN,
            ["stale", "by itself"],
        ),
        (
            {"state": PolicyStatus.HOLD, "hold_reason": "stale", "hold_recoverable": True, "e_stop": True},
            "motion",
            ERROR,
            ["stale", "~/resume"],
        ),
        ({"plans": 10, "disagreements": 6}, "motion", WARN, ["6 times in 10 plans", "ensemble.mode"]),
        ({"inference_latency_p95": 0.2}, "inference", WARN, ["0.47 s", "plan_horizon is 0.5 s", "starved"]),
        ({"expired_chunks": 2}, "inference", WARN, ["2 chunks arrived too late"]),
        ({"control_interval_p99": 0.041}, "control", WARN, ["p99 41 ms", "num_threads"]),
        ({"missed_ticks": 1}, "control", WARN, ["1 ticks missed"]),
        (
            {"known_task": False, "task": "pick it upp"},
            "task",
            WARN,
            ["not trained on 'pick it upp'", "mean 'pick it up'"],
        ),
        ({"idle": 5.0}, "task", WARN, ["5 s", "collapsed", "diagnose"]),
    ],
)
def test_each_finding_has_its_level_and_its_remedy(changes, part, level, words):
    found = entries({}, changes)
    assert found[part].level == level
    for word in words:
        assert word in found[part].message
    others = {entry.level for name, entry in found.items() if name != part}
    assert others == {OK}, "one cause makes one finding"


def test_counters_that_no_longer_increase_are_no_finding():
    late = {"missed_ticks": 7, "expired_chunks": 7, "disagreements": 7}
    assert entries(late, late)["control"].level == OK
    assert entries(late, {})["inference"].level == OK, "counters start at zero with each activation"


def test_a_change_of_the_task_that_changes_nothing_is_reported():
    reaction = TaskReaction(np.array([True]))
    reaction.baseline, reaction.reaction = 0.02, 0.01
    found = entries({}, reaction=reaction)
    assert found["task"].level == WARN and "the previous task" in found["task"].message


@pytest.mark.parametrize("state", [PolicyStatus.UNCONFIGURED, PolicyStatus.INACTIVE])
def test_an_inactive_node_has_no_findings(state):
    found = entries({"state": state, "state_name": "inactive", "idle": 99.0})
    assert set(found) == {"motion"} and found["motion"].level == OK


def streams_after(rates: dict[str, int], change=lambda builder: None) -> dict[str, DiagnosticStatus]:
    """The streams' entries after one second; rates: messages of each stream in it, 30 by default."""
    builder = ObservationBuilder(SMALL_CONTRACT)
    health = StreamHealth(SMALL_CONTRACT, builder)
    health.report("policy", 0, 0)
    for stream in builder.streams:
        count = rates.get(stream.name, 30)
        for i in range(count):
            stamp_ns = (i + 1) * SECOND // count
            stream.push(stamp_ns, np.zeros(3), stamp_ns)
    change(builder)
    report = health.report("policy", SECOND, SECOND)
    return {entry.name.removeprefix("policy: stream "): entry for entry in report}


def test_streams_are_judged_by_age_rate_and_stamps():
    assert {entry.level for entry in streams_after({}).values()} == {OK}
    found = streams_after({"top": 20, "wrist": 0, "joint_states": 20})
    assert found["top"].level == WARN and "20.0 messages per second" in found["top"].message
    assert "fastdds.xml" in found["top"].message and "fastdds" not in found["joint_states"].message
    assert found["wrist"].level == ERROR and "nothing received" in found["wrist"].message

    def duplicate_and_future_stamps(builder):
        builder.images["top"].push(SECOND, None, SECOND)
        builder.images["wrist"].push(3 * SECOND, None, SECOND)

    found = streams_after({}, duplicate_and_future_stamps)
    assert found["top"].level == WARN and "duplicates" in found["top"].message
    assert found["wrist"].level == WARN and "synchronise the clocks" in found["wrist"].message


@pytest.mark.slow
def test_the_node_reports_its_streams_holds_and_idling(ros_domain, checkpoint, monkeypatch):
    newest: dict[str, DiagnosticStatus] = {}

    def take(message):
        newest.update({entry.name: entry for entry in message.status})

    with running(checkpoint, idle_time=0.5, task="make coffee") as watch:
        watch.robot.create_subscription(DiagnosticArray, "/diagnostics", take, qos.DIAGNOSTICS)
        wait_for(lambda: "policy: task" in newest, 10.0, "the first report")
        assert {"policy: stream top", "policy: stream joint_states"} <= set(newest)
        policy = watch.policy
        predict = policy.predict
        monkeypatch.setattr(policy, "predict", lambda *a, **k: np.full_like(predict(*a, **k), 0.02))
        wait_for(lambda: "collapsed" in newest["policy: task"].message, 10.0, "idling is reported")
        assert "not trained on 'make coffee'" in newest["policy: task"].message
        assert watch.status.idle >= 0.5 and not watch.status.known_task
        watch.task(TASKS[0])
        wait_for(
            lambda: watch.status.known_task and watch.status.idle < 0.5,
            5.0,
            "a new task resets the idle time",
        )
        watch.robot.camera_on = False
        wait_for(lambda: newest["policy: stream top"].level == ERROR, 10.0, "the dead camera is an error")
        wait_for(lambda: newest["policy: motion"].level == WARN, 10.0, "the hold resumes by itself")
        assert call(watch.robot, SetBool, "/policy/e_stop", SetBool.Request(data=True)).success
        wait_for(lambda: newest["policy: motion"].level == ERROR, 10.0, "an e-stop does not resume by itself")
        watch.node.trigger_deactivate()
        wait_for(lambda: newest["policy: motion"].level == OK, 10.0, "an inactive node has no finding")
