# SPDX-License-Identifier: Apache-2.0
"""A good episode passes the check; every defect is detected, measured and reported."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from contracts import SMALL_CONTRACT, small_mapping

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.recording import CheckThresholds, EpisodeCheck, check_episode
from dit_policy_ros.core.recording._episode_trace import EpisodeTrace

FPS = 30
PERIOD = 1_000_000_000 // FPS
CAMERAS = ("top", "wrist")


@dataclass(frozen=True)
class Camera:
    frames: int = 120
    frozen: int = 0
    clipped: int = 0
    waits: int = 0


def trace(
    frames: int = 120,
    moving: slice = slice(15, 105),
    wrist_late_ns: int = 0,
    repeated: dict[int, tuple[str, ...]] | None = None,
    jump_at: int | None = None,
    still: tuple[int, ...] = (),
) -> EpisodeTrace:
    """Smooth motion of every joint over a good part of its range, with the given defects."""
    result = EpisodeTrace(float(FPS), CAMERAS)
    ramp = np.clip((np.arange(frames) - moving.start) / (moving.stop - moving.start), 0.0, 1.0)  # (N,)
    for number in range(frames):
        stamp = number * PERIOD
        state = np.array([1.0, 0.02, 1.0]) * ramp[number]
        state[list(still)] = 0.3
        action = state + 0.001
        if jump_at is not None and number >= jump_at:
            action = action + np.array([0.5, 0.0, 0.0])
        result.add(stamp, state, action, [stamp, stamp - wrist_late_ns], (repeated or {}).get(number, ()))
    return result


def check_of(rate: float = 30.0, cameras: dict | None = None, **defect) -> EpisodeCheck:
    cameras = cameras or dict.fromkeys(CAMERAS, Camera())
    return check_episode(trace(**defect), rate, cameras, SMALL_CONTRACT, CheckThresholds())


def test_a_good_episode_passes_without_warnings() -> None:
    check = check_of()
    assert check.passed
    assert check == EpisodeCheck(idle_start=pytest.approx(16 / FPS, abs=2 / FPS), idle_end=check.idle_end)
    assert check.idle_end == pytest.approx(16 / FPS, abs=2 / FPS)


DEFECTS = {
    "slow camera": ({"rate": 20.0}, "the slowest camera delivered 20.0 of 30 images per second"),
    "missing frames": (
        {"repeated": dict.fromkeys(range(50, 60), ("wrist",))},
        r"wrist: 10 of 120 frames had no new sample and repeat the one before \(max_missing is 5%\)",
    ),
    "cameras apart": ({"wrist_late_ns": 70_000_000}, "the images of a frame are 70 ms apart"),
    "frozen": ({"cameras": {"top": Camera(frozen=61)}}, "top: 61 of 120 new images equal the one before"),
    "dark": ({"cameras": {"top": Camera(clipped=20)}}, "top: 20 of 120 images are all black or all white"),
    "a jump": ({"jump_at": 60}, r"the command jumps at 1 frames \(60\)"),
    "nothing moves": ({"still": (0, 1, 2)}, "no joint moved"),
}


@pytest.mark.parametrize("case", DEFECTS)
def test_each_defect_fails_the_episode_with_one_reason(case: str) -> None:
    defect, message = DEFECTS[case]
    check = check_of(**defect)
    assert not check.passed
    reasons = [reason for reason in check.reasons if "images and joints" not in reason]
    assert len(reasons) == 1
    assert re.search(message, reasons[0])


def test_a_camera_that_lags_behind_the_joints_is_measured() -> None:
    check = check_of(wrist_late_ns=70_000_000)
    assert check.camera_skew == check.joint_skew == pytest.approx(0.07)


WARNED = {
    "few missing": ({"repeated": {50: ("top",)}}, "top: 1 of 120 frames had no new sample"),
    "late start": ({"frames": 240, "moving": slice(120, 230)}, r"idle for 4\.\d s before the first motion"),
    "late end": ({"frames": 240, "moving": slice(5, 100)}, r"idle for 4\.\d s after the last motion"),
    "a still joint": ({"still": (1,)}, "joints that never moved: finger"),
    "a busy machine": ({"cameras": {"top": Camera(waits=4)}}, "top: 4 images waited for the encoder"),
}


@pytest.mark.parametrize("case", WARNED)
def test_each_minor_defect_is_one_warning(case: str) -> None:
    defect, message = WARNED[case]
    check = check_of(**defect)
    assert check.passed
    assert len(check.warnings) == 1
    assert re.search(message, check.warnings[0])


def test_a_motionless_episode_is_idle_throughout() -> None:
    check = check_episode(trace(still=(0, 1, 2)), 30.0, {}, SMALL_CONTRACT, CheckThresholds())
    assert check.idle_start == check.idle_end == pytest.approx(4.0)


def test_the_thresholds_decide() -> None:
    strict = replace(CheckThresholds(), max_missing=0.0)
    defect = trace(repeated={50: ("top",)})
    assert check_episode(defect, 30.0, {}, SMALL_CONTRACT, CheckThresholds()).passed
    assert not check_episode(defect, 30.0, {}, SMALL_CONTRACT, strict).passed


def test_a_single_frame_can_be_checked() -> None:
    assert check_episode(trace(frames=1), float("nan"), {}, SMALL_CONTRACT, CheckThresholds()).reasons == (
        "no joint moved",
    )


def slow_top(fps: float = 15.0):
    """The contract with a slow camera `top`, and a trace in which each of its images serves twice."""
    mapping = small_mapping()
    mapping["cameras"]["top"]["fps"] = fps
    result = EpisodeTrace(float(FPS), CAMERAS)
    for number in range(120):
        stamp, ramp = number * PERIOD, np.clip((number - 15) / 90, 0.0, 1.0)
        state = np.array([1.0, 0.02, 1.0]) * ramp
        result.add(stamp, state, state, [(number // 2 * 2) * PERIOD, stamp], ())
    return parse_contract(mapping, ""), result


def test_a_camera_with_its_own_rate_is_judged_by_that() -> None:
    contract, steady = slow_top()
    cameras = {"top": Camera(), "wrist": Camera()}

    def check(rate: float, **changes):
        figures = cameras | changes
        return check_episode(steady, rate, figures, contract, CheckThresholds(), slowest="top")

    assert check(15.0).passed
    (reason,) = check(10.0).reasons
    assert "delivered 10.0 of 15 images per second" in reason and "cameras.top.fps" in reason
    (frozen,) = check(15.0, top=Camera(frozen=40)).reasons  # of 60 new ones
    assert "40 of 60 new images equal the one before" in frozen


def test_the_images_of_a_slow_camera_may_be_apart_by_its_period_but_not_by_more() -> None:
    contract, steady = slow_top()
    late = EpisodeTrace(float(FPS), CAMERAS)
    for stamp, images, state in zip(steady.stamps_ns, steady.image_stamps_ns, steady.state, strict=True):
        late.add(int(stamp), state, state, [int(images[0]) - 3 * PERIOD, int(images[1])], ())
    thresholds = CheckThresholds()
    assert check_episode(steady, 15.0, {}, contract, thresholds, slowest="top").passed
    reasons = check_episode(late, 15.0, {}, contract, thresholds, slowest="top").reasons
    assert any("133 ms apart" in r and "a slow camera's image stays for 33 ms more" in r for r in reasons)


def test_an_episode_without_cameras_can_be_checked() -> None:
    contract = parse_contract(small_mapping(cameras={"names": []}), "")
    states = EpisodeTrace(float(FPS), ())
    for number in range(120):
        state = np.array([1.0, 0.02, 1.0]) * np.clip((number - 15) / 90, 0.0, 1.0)
        states.add(number * PERIOD, state, state, [], ())
    check = check_episode(states, float("nan"), {}, contract, CheckThresholds())
    assert check.passed and check.camera_skew == check.joint_skew == 0.0
