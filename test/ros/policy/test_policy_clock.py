# SPDX-License-Identifier: Apache-2.0
"""The policy node with simulated time that pauses, jumps ahead and jumps back."""

import contextlib
import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_testing import now_ns
from rosgraph_msgs.msg import Clock
from small_robot import CONTROLLERS, SmallRobot, parameters, policy_node, spinning_together
from waiting import wait_for

from dit_policy_ros.core.motion import MotionState
from dit_policy_ros.ros.common import stamp_ns, to_stamp

pytestmark = pytest.mark.slow  # others cover the way; these are whole systems again

START_NS = 1_000_000_000_000


class TimeSource(Node):
    """Publishes /clock at 200 Hz, in real time unless a test pauses it or makes it jump."""

    def __init__(self):
        super().__init__("time_source")
        self._publisher = self.create_publisher(Clock, "/clock", 1)
        self._lock = threading.Lock()
        self._offset_ns = START_NS - time.monotonic_ns()
        self._stopped_ns = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def jump(self, by_ns):
        with self._lock:
            self._offset_ns += by_ns

    def pause(self):
        with self._lock:
            self._stopped_ns = self._offset_ns + time.monotonic_ns()

    def unpause(self):
        with self._lock:
            self._offset_ns, self._stopped_ns = self._stopped_ns - time.monotonic_ns(), None

    def _run(self):
        while not self._ended.wait(0.005):
            with self._lock:
                now_ns = self._stopped_ns or self._offset_ns + time.monotonic_ns()
            self._publisher.publish(Clock(clock=to_stamp(now_ns)))

    def shut_down(self):
        self._ended.set()
        self._thread.join()


@contextlib.contextmanager
def running(checkpoint):
    robot = SmallRobot(parameter_overrides=[Parameter("use_sim_time", value=True)])
    node = policy_node(parameters(checkpoint=str(checkpoint), use_sim_time=True))
    source = TimeSource()
    with spinning_together(robot, node, source):
        wait_for(lambda: now_ns(node) > START_NS, 10.0, "simulated time")
        node.trigger_configure()
        wait_for(lambda: node.trigger_activate() and node.state.active is not None, 15.0, "activation")
        motion = node.state.configured.motion
        wait_for(lambda: motion.pipeline.plans >= 5, 10.0, "plans")
        yield robot, node, source


def held(robot, node, reason):
    """Wait for the hold; return its message to the left arm."""
    motion = node.state.configured.motion
    wait_for(
        lambda: reason in motion.pipeline.hold_reason and motion.state is MotionState.HOLD,
        10.0,
        f"{reason!r}",
    )
    brake = motion.pipeline.plan
    stamp = int(brake.times_ns[0])
    found = wait_for(
        lambda: next((m for m in robot.of("left_arm_controller") if stamp_ns(m.header.stamp) == stamp), None),
        5.0,
        "the hold arrives",
    )
    assert all(
        any(stamp_ns(m.header.stamp) == stamp for m in robot.of(name)) for name in CONTROLLERS
    ) or wait_for(
        lambda: all(any(stamp_ns(m.header.stamp) == stamp for m in robot.of(n)) for n in CONTROLLERS),
        5.0,
        "both arms hold together",
    )
    return found


@pytest.mark.parametrize("by", [5.0, -5.0])
def test_a_clock_jump_holds_where_the_controllers_are_and_resumes_by_itself(ros_domain, checkpoint, by):
    with running(checkpoint) as (robot, node, source):
        motion = node.state.configured.motion
        plan = motion.pipeline.plan
        source.jump(round(by * 1e9))
        hold = held(robot, node, "the clock was set")
        # The position commanded in the old time when the clock was set, plus what the arm can move until the
        # next check of the clock.
        start = hold.points[0].positions[0]
        low, high = plan.positions[:, 0].min(), plan.positions[:, 0].max()
        assert low - 0.3 <= start <= high + 0.3
        if by < 0:
            assert not any(hold.points[0].velocities), "the controller has stopped already"
        plans = motion.pipeline.plans
        wait_for(lambda: motion.pipeline.plans > plans + 2, 10.0, "motion goes on in the new time")
        newest = stamp_ns(robot.of("left_arm_controller")[-1].header.stamp)
        assert abs(newest - now_ns(node)) < 2_000_000_000


def test_a_pause_of_the_clock_holds_until_it_ends(ros_domain, checkpoint):
    with running(checkpoint) as (robot, node, source):
        source.pause()
        held(robot, node, "the clock stands still")
        source.unpause()
        motion = node.state.configured.motion
        plans = motion.pipeline.plans
        wait_for(lambda: motion.pipeline.plans > plans + 2, 10.0, "motion goes on")
        assert np.isfinite(motion.pipeline.plan.positions).all()
