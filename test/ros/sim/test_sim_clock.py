# SPDX-License-Identifier: Apache-2.0
"""The simulation's own clock: at the given speed, never ahead of the simulation or of the operator."""

import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from sensor_msgs.msg import JointState  # noqa: E402

from dit_policy_ros.ros.common import to_stamp  # noqa: E402
from dit_policy_ros.ros.sim import _clock as sim_clock  # noqa: E402

MS = 1_000_000


class Steady:
    """A monotonic clock that the test sets."""

    def __init__(self) -> None:
        self.ns = 10**9

    def monotonic_ns(self) -> int:
        return self.ns


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Steady:
    clock = Steady()
    monkeypatch.setattr(sim_clock, "time", clock)
    return clock


@pytest.fixture
def node(ros_domain):
    made = rclpy.create_node("sim")
    yield made
    made.destroy_node()


def test_it_runs_at_the_given_speed_if_the_simulation_keeps_up(node, steady) -> None:
    clock = sim_clock.simulation_clock(node, 3.0, "")
    now = start = clock.begin()
    for _ in range(200):
        steady.ns += 2 * MS
        now = clock.goal(now)  # the simulation keeps up
    assert now - start == pytest.approx(3 * 400 * MS, rel=0.01)
    assert clock.now(now) == now, "other nodes see the simulated time"


def test_it_slows_down_if_the_simulation_lags_and_never_jumps(node, steady) -> None:
    clock = sim_clock.simulation_clock(node, 3.0, "")
    start = clock.begin()
    steady.ns += 5000 * MS
    assert clock.goal(start) == start + sim_clock.MAX_BEHIND_NS
    steady.ns += 1 * MS
    assert clock.goal(start + sim_clock.MAX_BEHIND_NS) == start + sim_clock.MAX_BEHIND_NS + 3 * MS


def test_it_waits_for_the_operator_but_not_for_a_silent_one(node, steady) -> None:
    clock = sim_clock.simulation_clock(node, 3.0, "leader/joint_states")
    now = start = clock.begin()
    command = JointState()
    command.header.stamp = to_stamp(start)
    clock._on_command(command)
    for _ in range(100):
        steady.ns += 2 * MS
        now = clock.goal(now)
    assert now == start + sim_clock.MAX_AHEAD_NS
    command.header.stamp = to_stamp(start + 33 * MS)
    clock._on_command(command)
    for _ in range(10):
        steady.ns += 10 * MS
        now = clock.goal(now)
    assert now == start + 33 * MS + sim_clock.MAX_AHEAD_NS
    steady.ns += 600 * MS
    assert clock.goal(now) == now + sim_clock.MAX_BEHIND_NS


def test_speed_zero_is_the_computers_clock(node, steady) -> None:
    clock = sim_clock.simulation_clock(node, 0.0, "")
    before = node.get_clock().now().nanoseconds
    assert before <= clock.goal(0) <= clock.now(0) <= node.get_clock().now().nanoseconds
