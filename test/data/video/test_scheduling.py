# SPDX-License-Identifier: Apache-2.0
"""An encoder must not get in the way of a robot's control: no thread of it has a real-time priority."""

import subprocess
import sys

import pytest

pytest.importorskip("av", reason="PyAV is not installed")

# A program of its own: what SVT-AV1 does to the thread that opens it would stay.
PROGRAM = """
import io, os, sys, av, numpy as np
from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.video._settings import VideoSettings
from dit_policy_ros.data.video._track import EncodedTrack

def highest():
    return max(os.sched_getparam(int(each)).sched_priority for each in os.listdir("/proc/self/task"))

settings = VideoSettings(codec="libsvtav1")
image = np.zeros((128, 128, 3), np.uint8)
how = sys.argv[1]
if how == "real-time":
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(3))
with av.open(io.BytesIO(), "w", format="matroska") as container:
    if how == "bare":
        stream = container.add_stream("libsvtav1", 30, options=settings.ffmpeg_options())
        stream.pix_fmt, stream.height, stream.width = "yuv420p", 128, 128
        stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24"))
    else:
        if how == "tried":
            assert settings.with_working_codec().codec == "libsvtav1"
        track = EncodedTrack(container, Camera("top", "top/image", 128, 128, 0.2), 30, settings)
        for _ in range(3):
            track.add(image)
    print(highest(), os.sched_getparam(0).sched_priority, len(os.listdir("/proc/self/task")))
"""


def run(how: str) -> list[int]:
    """The highest real-time priority of all threads, that of the one that encodes, and how many there are."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return [int(each) for each in ran.stdout.strip().splitlines()[-1].split()]


@pytest.fixture(scope="module", autouse=True)
def where_it_may() -> None:
    highest, own, _ = run("bare")
    if highest == 0:
        pytest.skip("SVT-AV1 may not have a real-time priority here: this user is not root")
    assert highest == own == 99


@pytest.mark.parametrize("how", ["recorded", "tried"])
def test_encoding_has_the_priority_of_the_program(how: str) -> None:
    highest, own, threads = run(how)
    assert highest == own == 0
    assert threads > 2, "the encoder has threads of its own"


def test_a_priority_that_the_program_has_stays() -> None:
    highest, own, _ = run("real-time")
    assert highest == own == 3
