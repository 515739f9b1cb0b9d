# SPDX-License-Identifier: Apache-2.0
"""The watcher of the fault tests finds every kind of violation."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from simulated_motion import CONTRACT
from watcher import Watcher

from dit_policy_ros.core.motion import Plan
from dit_policy_ros.ros.controllers._trajectory_messages import plan_messages
from dit_policy_ros.sim.robot import HOME

CONFIG = Path(__file__).parents[3] / "config" / "bimanual.yaml"
DT_NS = 33_333_333
ARM = "left_arm_controller"


@pytest.fixture
def watcher(ros_domain, tmp_path):
    node = Watcher(tmp_path / "report.json", CONFIG)
    yield node
    node.destroy_node()


def message(now_ns, shift=0.0, start=0):
    """A plan for the left arm that starts now and moves every joint by `shift` [rad] to rest in 0.33 s."""
    u = np.linspace(0.0, 1.0, 11)[:, None]  # (K, 1)
    positions = HOME + shift * (3 * u**2 - 2 * u**3)
    velocities = np.ones(14) * shift * (6 * u - 6 * u**2) / (10 * DT_NS * 1e-9)
    plan = Plan(now_ns + start + DT_NS * np.arange(11, dtype=np.int64), positions, velocities)
    return plan_messages(plan, CONTRACT)[ARM]


def faults(watcher, *messages, now_ns):
    found = []
    for each in messages:
        found += watcher._faults(ARM, list(CONTRACT.controller(ARM).joints), each, now_ns + 1_000_000)
    return found


def test_a_good_message_passes(watcher):
    now_ns = watcher.get_clock().now().nanoseconds
    assert faults(watcher, message(now_ns, 0.02), now_ns=now_ns) == []


def faulty_message(now_ns, what):
    bad = message(now_ns, 0.02)
    match what:
        case "joints":
            bad.joint_names = bad.joint_names[1:]
        case "shapes":
            bad.points[3].velocities = []
        case "not finite":
            bad.points[3].positions[0] = float("nan")
        case "do not increase":
            bad.points[3].time_from_start = bad.points[2].time_from_start
        case "does not end at rest":
            bad.points[-1].velocities[0] = 0.1
        case "moves to":
            for point in bad.points:
                point.positions[0] = 2.5
        case "moves at":
            bad = message(now_ns, 1.0)
        case "accelerates by":
            bad = message(now_ns, 0.3)
        case "from now":
            bad = message(now_ns - 5_000_000_000)
    return bad


@pytest.mark.parametrize(
    "what",
    [
        *("joints", "shapes", "not finite", "do not increase", "does not end at rest"),
        *("moves to", "moves at", "accelerates by", "from now"),
    ],
)
def test_every_fault_is_found(watcher, what):
    now_ns = watcher.get_clock().now().nanoseconds
    found = faults(watcher, faulty_message(now_ns, what), now_ns=now_ns)
    assert any(what in violation for violation in found), found


def test_a_jump_from_one_plan_to_the_next_is_found(watcher):
    now_ns = watcher.get_clock().now().nanoseconds
    jumping = message(now_ns, start=DT_NS)
    for point in jumping.points:
        point.positions[2] += 0.05
    found = faults(watcher, message(now_ns), jumping, now_ns=now_ns + DT_NS)
    assert any("joint 2 jumps" in violation for violation in found), found


def test_a_controller_without_a_message_of_a_plan_is_found(watcher):
    now_ns = watcher.get_clock().now().nanoseconds
    for stamp_ns in (now_ns, now_ns + 5_000_000_000):
        watcher._on_message(ARM, list(CONTRACT.controller(ARM).joints), message(stamp_ns))
    watcher.write()
    report = json.loads(watcher._output.read_text())
    others = sorted(each.name for each in CONTRACT.controllers if each.name != ARM)
    assert report["incomplete"] == [[now_ns, others]], "the newest one is still under way"
    assert report["newest"] == {ARM: now_ns + 5_000_000_000}
