# SPDX-License-Identifier: Apache-2.0
"""The doctor's checks of a computer: what programs answer, and what follows from it."""

from dataclasses import replace

import numpy as np
import pytest
from contracts import SMALL_CONTRACT

pytest.importorskip("rclpy", reason="rclpy is not installed")
from sensor_msgs.msg import Image

from dit_policy_ros.evaluation.doctor import Level, _machine
from dit_policy_ros.evaluation.doctor._graph import middleware
from dit_policy_ros.evaluation.doctor._machine import clock, disk, gpu, run_program
from dit_policy_ros.evaluation.doctor._robot import camera_findings
from dit_policy_ros.ros.common import to_stamp
from dit_policy_ros.ros.survey import StreamFacts

TRACKING = """Reference ID    : C0A80001 (192.168.0.1)
System time     : {offset} seconds slow of NTP time
Leap status     : {leap}
"""
NOW_NS = 1_790_000_000_000_000_000


def answers(**programs):
    """Stands for the programs of a computer: by name, what they print."""
    return lambda command: programs.get(command[0])


def only(findings):
    (finding,) = findings
    assert not finding.is_bad or finding.remedy, finding
    return finding


@pytest.mark.parametrize(
    ("programs", "level", "words"),
    [
        ({"chronyc": TRACKING.format(offset="0.000012", leap="Normal")}, Level.OK, "0.012 ms"),
        ({"chronyc": TRACKING.format(offset="0.213", leap="Normal")}, Level.PROBLEM, "off by 0.213 s"),
        (
            {"chronyc": TRACKING.format(offset="0.0", leap="Not synchronised")},
            Level.WARNING,
            "not synchronised",
        ),
        ({"timedatectl": "yes\n"}, Level.OK, "timedatectl"),
        ({"timedatectl": "no\n"}, Level.WARNING, "not synchronised"),
        ({}, Level.NOTE, "no chrony"),
    ],
)
def test_the_clock(programs, level, words):
    finding = only(clock(answers(**programs)))
    assert (finding.level, words in finding.text) == (level, True)


@pytest.mark.parametrize(
    ("device", "level"), [("auto", Level.NOTE), ("cpu", Level.NOTE), ("cuda:0", Level.PROBLEM)]
)
def test_a_computer_without_gpu_is_a_problem_only_if_one_is_asked_for(device, level):
    assert only(gpu(device, answers())).level is level


def test_a_gpu_that_shares_the_computers_memory_has_no_figures(monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cards = "NVIDIA GB10, [N/A], [N/A]\nNVIDIA H200, NVL, 1024, 2048\nFailed to initialise\n"
    shared, own = gpu("auto", answers(**{"nvidia-smi": cards}))
    assert shared.level is Level.OK and shared.text == "NVIDIA GB10, its memory is the computer's"
    assert own.text == "NVIDIA H200, NVL, 1.0 of 2.0 GiB free"


def test_depth_images_need_a_faster_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(_machine, "_write_speed", lambda folder: 50.0)  # [MB/s]
    camera = replace(SMALL_CONTRACT.cameras[0], height=720, width=1280)
    needed = {"": Level.OK, "mm": Level.WARNING, "m": Level.WARNING}  # 8, 111 and 221 MB/s
    for unit, level in needed.items():
        contract = replace(SMALL_CONTRACT, cameras=(replace(camera, depth_unit=unit),))
        *_, speed = disk(tmp_path, 1.0, contract)
        assert speed.level is level, unit
    assert "a recording needs 221" in speed.text


def test_space_and_speed_of_the_disk(tmp_path):
    levels = {finding.level for finding in disk(tmp_path / "new" / "dataset", 1.0, SMALL_CONTRACT)}
    assert Level.PROBLEM not in levels
    assert list(tmp_path.iterdir()) == [], "the trial file is gone"
    full = only(disk(tmp_path, 1e12, None))
    assert full.level is Level.PROBLEM and "no episode can start" in full.text


def test_a_program_that_is_not_there_or_fails_says_nothing():
    assert run_program(["no_such_program_here"]) is None
    assert run_program(["false"]) is None
    assert run_program(["echo", "yes"]) == "yes\n"


@pytest.mark.parametrize(
    ("environment", "level", "words"),
    [
        ({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, Level.WARNING, "LARGE_DATA"),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "/no/such/file.xml"}, Level.WARNING, "does not exist"),
        ({}, Level.NOTE, "no Fast DDS profile"),
        ({"FASTRTPS_DEFAULT_PROFILES_FILE": __file__}, Level.OK, __file__),
    ],
)
def test_the_middleware(environment, level, words):
    release, finding = middleware(environment)
    assert release.level is Level.OK
    assert (finding.level, words in finding.text) == (level, True)


CAMERA = SMALL_CONTRACT.camera("top")  # 64x48, at 30 Hz


def images(rate=30.0, width=64, height=48, encoding="rgb8", seconds=4.0, ahead=0.0):
    stamps = [NOW_NS - round((seconds - k / rate) * 1e9) for k in range(round(seconds * rate))]
    newest = Image(
        height=height, width=width, encoding=encoding, step=3 * width,
        data=np.zeros(3 * width * height, np.uint8).tobytes(),
    )  # fmt: skip
    newest.header.stamp = to_stamp(stamps[-1] + round(ahead * 1e9))
    return StreamFacts("/top/image_raw", stamps, newest)


def found(stream, **changes):
    return list(camera_findings(replace(CAMERA, **changes), stream, 30.0, NOW_NS))


def test_a_good_camera_is_good():
    finding = only(found(images()))
    assert finding.level is Level.OK and "64x48 rgb8 at 30.0 Hz, 0.0% lost" in finding.text


def test_half_the_size_is_good_and_another_aspect_is_not():
    assert only(found(images(width=32, height=24))).level is Level.OK
    assert only(found(images(width=64, height=64))).level is Level.PROBLEM


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (StreamFacts("/top/image_raw"), "nothing comes on /top/image_raw"),
        (images(rate=15.0), "30 Hz are needed"),
        (images(encoding="16UC1"), "cannot be converted"),
        (images(ahead=1.0), "ahead of this computer's clock"),
    ],
)
def test_what_is_wrong_with_a_camera_is_said_with_its_remedy(stream, words):
    problems = [each for each in found(stream) if each.level is Level.PROBLEM]
    assert any(words in each.text for each in problems), found(stream)
    assert all(each.remedy and each.check == "camera top" for each in problems)


def test_lost_images_are_a_warning_that_names_the_profile():
    stream = images()
    del stream.stamps[20:30]
    finding = only(found(stream))
    assert finding.level is Level.WARNING and "fastdds.xml" in finding.remedy
