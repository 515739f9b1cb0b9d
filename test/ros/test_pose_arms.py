# SPDX-License-Identifier: Apache-2.0
"""Arms that are controlled by poses, over DDS: simulator, policy and a watcher of all targets."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from pose_world import CONTROLLERS, PoseWorld, TargetWatch, arrays, down
from ros_testing import call, spinning
from std_srvs.srv import SetBool, Trigger
from waiting import wait_for

from dit_policy_ros.cli.replay import main as replay
from dit_policy_ros.core.poses import rotation_angle
from dit_policy_ros.data.incident_folder import read_incident
from dit_policy_ros.msg import PolicyStatus

pytestmark = pytest.mark.slow

LEFT, RIGHT = CONTROLLERS


@pytest.fixture
def watch(ros_domain):
    node = TargetWatch()
    with spinning(node):
        yield node


def test_poses_stream_within_the_limits_and_hold(watch, start_process, tmp_path, capsys):
    world = PoseWorld(watch, start_process, tmp_path)
    world.start_policy()
    assert not any(watch.targets.values()), "nothing is commanded before activation"
    world.activate()
    world.runs()
    wait_for(lambda: len(watch.targets[LEFT]) > 300, 60.0, "three seconds of targets")
    assert {each.header.frame_id for each in watch.targets[LEFT]} == {"world"}
    first = arrays(watch.targets[LEFT][:1])[1][0]
    begun = arrays(watch.measured[LEFT][:1])[1][0]
    assert np.linalg.norm(first - begun) < 0.01, "motion begins where the arm is"
    for name, side in ((LEFT, "left"), (RIGHT, "right")):
        _, positions, rotations = arrays(watch.targets[name][-50:])
        assert rotation_angle(rotations, down(side)).max() < 0.6, "the policy stays around that"
        _, measured, turned = arrays(watch.measured[name][-1:])
        assert np.linalg.norm(measured[0] - positions[-1]) < 0.03, "the arm follows"
        assert rotation_angle(turned[0], rotations[-1]) < 0.2

    # The e-stop brakes along the path, and the last pose stays.
    call(watch, SetBool, "/policy/e_stop", SetBool.Request(data=True))
    world.holds("e-stop")
    last = {name: world.stands(name) for name in CONTROLLERS}
    call(watch, SetBool, "/policy/e_stop", SetBool.Request(data=False))
    world.runs()
    for name in CONTROLLERS:
        messages = list(watch.targets[name])
        next_one = messages[messages.index(last[name]) + 1]
        ways = arrays([last[name], next_one])
        assert np.linalg.norm(np.diff(ways[1], axis=0)) < 2e-3, "motion goes on from the last commanded pose"

    # A controller that is switched off publishes no pose: both arms hold, and go on when it is back.
    call(watch, SetBool, f"/sim/{LEFT}/set_active", SetBool.Request(data=False))
    world.holds("left_ee.x")
    world.stands(RIGHT)
    call(watch, SetBool, f"/sim/{LEFT}/set_active", SetBool.Request(data=True))
    wait_for(lambda: watch.status.state == PolicyStatus.RUNNING, 60.0, "motion goes on by itself")

    # Somebody else who publishes targets is found by the graph, before a message of his.
    other = watch.create_publisher(PoseStamped, f"/{RIGHT}/target_frame", 1)
    world.holds("another commander")
    watch.destroy_publisher(other)
    world.runs()

    # An incident has the policy's own entries, and is repeated from them.
    folder = Path(call(watch, Trigger, "/policy/save_incident", Trigger.Request()).message)
    wait_for(folder.exists, 30.0, "the incident")
    assert read_incident(folder).incident.inferences[-1].actions.shape[1] == 20
    assert replay([str(folder)]) == 0
    assert "reproduced" in capsys.readouterr().out

    # Deactivation brakes before the publishers close.
    assert world.transition(Transition.TRANSITION_DEACTIVATE)
    for name in CONTROLLERS:
        world.stands(name)
        _, positions, _ = arrays(watch.targets[name][-10:])
        assert np.abs(np.diff(positions, axis=0)).max() < 1e-6, "at rest at the end"
    assert watch.violations() == []


def test_activation_is_refused_with_what_is_wrong(watch, start_process, tmp_path):
    world = PoseWorld(watch, start_process, tmp_path, frame="base_link")
    world.start_policy()
    assert not world.transition(Transition.TRANSITION_ACTIVATE)
    log = world.policy.output()
    assert "frame 'world'" in log
    assert "'base_link'" in log
    assert not any(watch.targets.values())
