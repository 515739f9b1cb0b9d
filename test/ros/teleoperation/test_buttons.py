# SPDX-License-Identifier: Apache-2.0
"""Buttons are those of one gamepad; a second one neither presses nor releases anything, and is named."""

import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from ros_testing import spinning  # noqa: E402
from sensor_msgs.msg import Joy  # noqa: E402
from waiting import wait_for  # noqa: E402

from dit_policy_ros.ros.teleoperation import Buttons, _buttons  # noqa: E402

HELD, FREE = Joy(buttons=[1, 0]), Joy(buttons=[0, 0])


class Heard(Buttons):
    """Counts the messages that were handled."""

    count = 0

    def _on_joy(self, msg, info):
        super()._on_joy(msg, info)
        self.count += 1


class Desk:
    """A node with buttons, and two gamepads on their topic."""

    def __init__(self):
        self.node, self.pressed = rclpy.create_node("desk"), []
        self.buttons = Heard(
            self.node, "joy", {"go": 0}, self.pressed.append, self.node.default_callback_group
        )
        self.pads = {}

    def plug_in(self, name):
        node = rclpy.create_node(name)
        self.pads[name] = node.create_publisher(Joy, "joy", 10)
        wait_for(self.pads[name].get_subscription_count, 10.0, f"{name} is connected")
        wait_for(lambda: self.node.count_publishers("joy") == len(self.pads), 10.0, f"{name} is seen")
        return node

    def say(self, name, message):
        before = self.buttons.count
        self.pads[name].publish(message)
        wait_for(lambda: self.buttons.count > before, 10.0, f"the message of {name} is handled")


@pytest.fixture
def desk(ros_domain):
    made = Desk()
    with spinning(made.node):
        yield made


def test_a_second_gamepad_is_ignored_and_named_until_the_first_is_gone(desk):
    first = desk.plug_in("first_pad")
    desk.say("first_pad", FREE)
    second = desk.plug_in("second_pad")
    for _ in range(4):  # one is held, the other is not
        desk.say("second_pad", HELD)
        desk.say("first_pad", FREE)
    assert desk.pressed == []

    def named():  # an endpoint can be discovered before the name of its node
        desk.say("second_pad", HELD)
        return "/second_pad is ignored: /first_pad was there first on /joy" in desk.buttons.problem

    wait_for(named, 10.0, "the names of both")
    desk.say("first_pad", HELD)
    assert desk.pressed == ["go"]
    first.destroy_node()
    wait_for(lambda: desk.node.count_publishers("joy") == 1, 10.0, "the first one is gone")

    def counts():
        desk.say("second_pad", HELD)
        desk.say("second_pad", FREE)
        return len(desk.pressed) > 1

    wait_for(counts, 10.0, "the second one counts now")
    second.destroy_node()


def test_where_ros_does_not_tell_the_sender_no_button_counts_while_there_are_two(desk, monkeypatch):
    monkeypatch.setattr(_buttons, "_sender", lambda info: b"")
    first = desk.plug_in("first_pad")
    desk.say("first_pad", FREE)
    desk.say("first_pad", HELD)
    assert desk.pressed == ["go"] and not desk.buttons.problem
    second = desk.plug_in("second_pad")
    for _ in range(4):
        desk.say("first_pad", FREE)
        desk.say("second_pad", HELD)
    assert desk.pressed == ["go"]
    assert "two sources of buttons" in desk.buttons.problem and "no button counts" in desk.buttons.problem
    second.destroy_node()
    del desk.pads["second_pad"]
    wait_for(lambda: desk.node.count_publishers("joy") == 1, 10.0, "the second one is gone")

    def counts():
        desk.say("first_pad", FREE)
        desk.say("first_pad", HELD)
        return len(desk.pressed) > 1

    wait_for(counts, 10.0, "the first one counts again")
    first.destroy_node()
