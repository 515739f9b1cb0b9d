# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from contracts import small_mapping
from simulated_motion import CONTRACT

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.sensing import FrozenImageDetector

FRAME_NS = 33_000_000
LEFT, RIGHT = 0, 7


def frozen_cameras(images, moving, frozen_after=1.0, frames=60):
    """The frozen cameras, where image k of top is `images(k)` and some joints move by 0.01 rad per image."""
    detector = FrozenImageDetector(CONTRACT, ("top", "left_wrist"), frozen_after)
    pose = np.zeros(14)
    for k in range(frames):
        pose = pose.copy()
        pose[moving] += 0.01
        detector.update("top", k * FRAME_NS, images(k), pose)
        detector.update("left_wrist", k * FRAME_NS, k, pose)
    return detector.frozen()


def test_a_camera_is_frozen_if_its_image_stays_the_same_while_all_arms_move():
    frozen = frozen_cameras(lambda k: 7, [LEFT, RIGHT])
    assert list(frozen) == ["top"]
    assert "top/image_raw" in frozen["top"] and "the same for 1.9 s" in frozen["top"]


@pytest.mark.parametrize(
    ("images", "moving", "options"),
    [
        (lambda k: k, [LEFT, RIGHT], {}),
        (lambda k: 7, [], {}),  # a still scene
        (lambda k: 7, [LEFT], {}),  # the camera may not see the left arm
        (lambda k: 7, [LEFT, RIGHT], {"frames": 20}),  # not long enough
        (lambda k: 7, [LEFT, RIGHT], {"frozen_after": 0.0}),
        (lambda k: 7 if k < 59 else 8, [LEFT, RIGHT], {}),  # the camera has recovered
    ],
)
def test_other_cameras_are_not_frozen(images, moving, options):
    assert frozen_cameras(images, moving, **options) == {}


@pytest.mark.parametrize(("moves", "frozen"), [(4, False), (6, True)])
def test_an_arm_has_moved_if_a_joint_moved_by_50_mrad(moves, frozen):
    detector = FrozenImageDetector(CONTRACT, ("top",), 1.0)
    for k in range(60):
        pose = np.zeros(14)
        pose[[LEFT, RIGHT]] = 0.01 * min(k, moves)
        detector.update("top", k * FRAME_NS, 1 << 60, pose)
    assert bool(detector.frozen()) is frozen


def test_without_joint_states_no_camera_is_frozen():
    detector = FrozenImageDetector(CONTRACT, ("top",), 1.0)
    for k in range(100):
        detector.update("top", k * FRAME_NS, 7, None)
    assert detector.frozen() == {}


def test_a_clock_set_back_restarts_the_detection():
    detector = FrozenImageDetector(CONTRACT, ("top",), 1.0)
    pose = np.zeros(14)
    detector.update("top", 100 * FRAME_NS, 7, pose)
    for k in range(20):
        detector.update("top", k * FRAME_NS, 7, pose + 0.1 * k)
    assert detector.frozen() == {}


def test_a_robot_without_arms_has_no_frozen_cameras():
    mapping = small_mapping()
    mapping["controllers"]["arm"]["gripper"] = True
    detector = FrozenImageDetector(parse_contract(mapping, ""), ("top",), 1.0)
    for k in range(60):
        detector.update("top", k * FRAME_NS, 7, np.full(3, 0.01 * k))
    assert detector.frozen() == {}


def test_after_a_restart_a_camera_is_judged_by_what_comes_then():
    detector = FrozenImageDetector(CONTRACT, ("top",), 1.0)
    pose = np.zeros(14)

    def frames(first, count, step):
        nonlocal pose
        for k in range(first, first + count):
            pose = pose.copy()
            pose[[LEFT, RIGHT]] += step
            detector.update("top", k * FRAME_NS, 7, pose)
        return list(detector.frozen())

    assert frames(0, 60, 0.01) == ["top"]
    detector.restart()
    assert detector.frozen() == {}
    assert frames(60, 60, 0.0) == []  # the arms stand
    assert frames(120, 4, 0.01) == []  # they have hardly moved
    assert frames(124, 4, 0.01) == ["top"]
    detector.restart()
    assert frames(128, 20, 0.05) == []  # they move at once, but not long enough
    assert frames(148, 20, 0.0) == ["top"]
