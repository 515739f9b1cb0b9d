# SPDX-License-Identifier: Apache-2.0
"""A LeRobot loop that records through the robot plugin stores what our recorder stores at the same time."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sensor_msgs.msg import Image
from small_contract import small_contract
from small_robot import HEIGHT, WIDTH

from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.ros.commanding import CommandSettings, GuardedRobot
from dit_policy_ros.ros.images import image_to_rgb

T0_NS = 1_790_000_000_000_000_000


def streams() -> ObservationBuilder:
    """One stream of messages: joints at 100 Hz, images at about 30 Hz."""
    builder, rng = ObservationBuilder(small_contract()), np.random.default_rng(0)
    for index in range(60):
        at_ns = T0_NS + index * 10_000_000
        builder.joints.push(at_ns, np.sin(0.05 * index + np.arange(4)), at_ns)
        if index % 3 == 0:
            pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            message = Image(
                height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH, data=pixels.tobytes()
            )
            builder.images["top"].push(at_ns + 1_234_567, message, at_ns + 2_000_000)
    return builder


def test_states_and_images_are_the_recorders():
    builder, robot = streams(), GuardedRobot(small_contract(), CommandSettings(Path("unused")))
    now_ns = T0_NS + 600_000_000
    clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=now_ns))
    robot._node = SimpleNamespace(sensors=SimpleNamespace(observations=builder), get_clock=lambda: clock)
    robot._motion = SimpleNamespace(check=lambda: None, alive=True)
    state = robot.observe()
    frame = builder.sample_at(state.stamp_ns)  # what the recorder takes for that time
    np.testing.assert_array_equal(state.joints, frame.state)
    recorded = image_to_rgb(frame.images["top"].value, HEIGHT, WIDTH)
    np.testing.assert_array_equal(state.images["top"], recorded)
    assert state.images["top"].std() > 1.0 and np.std(state.joints) > 0.1
    assert robot.observe().images["top"] is not state.images["top"], "the loop may change its images"


def test_the_next_command_is_executed_after_those_that_are_on_their_way():
    builder, robot = streams(), GuardedRobot(small_contract(), CommandSettings(Path("unused"), delay=0.2))
    assert robot.lead == 0.0
    clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=T0_NS + 600_000_000))
    node = SimpleNamespace(
        sensors=SimpleNamespace(observations=builder), get_clock=lambda: clock, newest_ns=None
    )
    robot._node, robot._motion = node, SimpleNamespace(check=lambda: None, alive=True)
    observed_ns = robot.observe().stamp_ns
    assert robot.lead == 0.0, "nothing was commanded: the arms stand"
    node.newest_ns = observed_ns - 10_000_000
    assert robot.lead == pytest.approx(0.2 - 0.01 + robot.contract.dt)
    node.newest_ns = observed_ns - 10_000_000_000
    assert robot.lead == 0.0, "the last command was executed long ago"
