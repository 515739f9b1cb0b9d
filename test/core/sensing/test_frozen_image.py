# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from simulated_motion import CONTRACT

from dit_policy_ros.core.sensing import FrozenImageDetector

FRAME_NS = 33_000_000
LEFT, RIGHT = 0, 7


def watch(pictures, moving, frozen_after=1.0, frames=60):
    """Frames whose content `pictures(k)` tells, while the given joints turn by 0.01 rad a frame."""
    watched = FrozenImageDetector(CONTRACT, ("top", "left_wrist"), frozen_after)
    pose = np.zeros(14)
    for k in range(frames):
        pose = pose.copy()
        pose[moving] += 0.01
        watched.update("top", k * FRAME_NS, pictures(k), pose)
        watched.update("left_wrist", k * FRAME_NS, k, pose)
    return watched.frozen()


def test_the_same_picture_while_all_arms_move_is_a_frozen_camera_and_only_that():
    frozen = watch(lambda k: 7, [LEFT, RIGHT])
    assert list(frozen) == ["top"]
    assert "top/image_raw" in frozen["top"] and "the same for 1.9 s" in frozen["top"]


@pytest.mark.parametrize(
    ("pictures", "moving", "options"),
    [
        (lambda k: k, [LEFT, RIGHT], {}),
        (lambda k: 7, [], {}),  # a still scene
        (lambda k: 7, [LEFT], {}),  # the camera may not see the left arm
        (lambda k: 7, [LEFT, RIGHT], {"frames": 20}),  # not for long enough
        (lambda k: 7, [LEFT, RIGHT], {"frozen_after": 0.0}),
        (lambda k: 7 if k < 59 else 8, [LEFT, RIGHT], {}),  # it is back
    ],
)
def test_anything_else_is_not(pictures, moving, options):
    assert watch(pictures, moving, **options) == {}


def test_without_joint_states_nothing_is_concluded():
    watched = FrozenImageDetector(CONTRACT, ("top",), 1.0)
    for k in range(100):
        watched.update("top", k * FRAME_NS, 7, None)
    assert watched.frozen() == {}


def test_a_clock_that_was_set_back_begins_anew():
    watched = FrozenImageDetector(CONTRACT, ("top",), 1.0)
    pose = np.zeros(14)
    watched.update("top", 100 * FRAME_NS, 7, pose)
    for k in range(20):
        watched.update("top", k * FRAME_NS, 7, pose + 0.1 * k)
    assert watched.frozen() == {}
