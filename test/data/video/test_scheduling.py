# SPDX-License-Identifier: Apache-2.0
"""An encoder must not get in the way of a robot's control: no thread of it has a real-time priority."""

from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("av", reason="PyAV is not installed")
from fork_server import fork_server

# A program of its own: what SVT-AV1 does to the thread that opens it would stay.
PROGRAM = """
import io, os, av, numpy as np
from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.video._settings import VideoSettings
from dit_policy_ros.data.video._track import EncodedTrack

def highest():
    return max(os.sched_getparam(int(each)).sched_priority for each in os.listdir("/proc/self/task"))

settings = VideoSettings(codec="libsvtav1")
image = np.zeros((128, 128, 3), np.uint8)
(how,) = arguments
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


Run = Callable[[str], list[int]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The highest real-time priority of all threads, that of the encoding one, and the number of threads."""
    output = tmp_path_factory.mktemp("encoded") / "output"

    def in_a_fork(how: str) -> list[int]:
        ran = server.run(PROGRAM, output, how)
        assert ran.code == 0, ran.output
        return [int(each) for each in ran.output.strip().splitlines()[-1].split()]

    with fork_server() as server:
        highest, own, _ = in_a_fork("bare")
        if highest == 0:
            pytest.skip("SVT-AV1 may not have a real-time priority here: this user is not root")
        assert highest == own == 99
        yield in_a_fork


@pytest.mark.parametrize("how", ["recorded", "tried"])
def test_encoding_has_the_priority_of_the_program(run: Run, how: str) -> None:
    highest, own, threads = run(how)
    assert highest == own == 0
    assert threads > 2, "the encoder has threads of its own"


def test_a_priority_that_the_program_has_stays(run: Run) -> None:
    highest, own, _ = run("real-time")
    assert highest == own == 3
