# SPDX-License-Identifier: Apache-2.0
"""Checks of this computer: clock, GPU, disk."""

import math
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.data.dataset import nearest_existing
from dit_policy_ros.evaluation.doctor._findings import Finding, note, ok, problem, warning

Run = Callable[[Sequence[str]], str | None]

_CLOCK_ERROR = 0.01  # [s] of this computer against its time servers
_TRIAL = 64  # [MiB] written to measure a disk
_SLOWEST_DISK = 20.0  # [MB/s] that a recording of a few cameras needs, with room for a busy moment
_VIDEO_SHARE = 0.05  # of the raw images, at most, that encoded video takes
_SPARE = 10.0  # times min_free_space that should be free
_TIMEOUT = 20.0  # [s] of a program that is asked


def run_program(command: Sequence[str]) -> str | None:
    """The output of a program; None if it is not installed, fails or hangs."""
    if shutil.which(command[0]) is None:
        return None
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None


def clock(run: Run = run_program) -> Iterator[Finding]:
    """Whether this computer's clock follows a time server."""
    text = run(["chronyc", "-n", "tracking"])
    if text is not None:
        offset = re.search(r"System time\s*:\s*([\d.eE+-]+) seconds", text)
        is_synchronised = "Not synchronised" not in text
        if not is_synchronised or offset is None:
            yield warning("clock", "chrony runs, but is not synchronised", "chronyc sources shows why")
        elif float(offset[1]) > _CLOCK_ERROR:
            yield problem(
                "clock",
                f"this computer's clock is off by {float(offset[1]):.3f} s",
                "wait until chrony has corrected it (chronyc tracking), or run sudo chronyc makestep once",
            )
        else:
            yield ok("clock", f"synchronised by chrony, within {float(offset[1]) * 1e3:.3f} ms")
        return
    answer = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if answer is not None and answer.strip() == "yes":
        yield ok("clock", "synchronised (timedatectl)")
    elif answer is not None and answer.strip() == "no":
        yield warning(
            "clock", "not synchronised with any time server", "install chrony on every computer of the robot"
        )
    else:
        yield note("clock", "no chrony here; it is needed if drivers or controllers run on other computers")


def gpu(device: str, run: Run = run_program) -> Iterator[Finding]:
    """Whether inference can run where the parameter ``device`` says: auto, cpu, cuda or cuda:N."""
    query = ["nvidia-smi", "--query-gpu=name,memory.free,memory.total", "--format=csv,noheader,nounits"]
    cards = [line.rsplit(", ", 2) for line in (run(query) or "").splitlines() if line.count(", ") > 1]
    if not cards:
        if device.startswith("cuda"):
            yield problem(
                "gpu",
                f"the parameter device is {device}, but no NVIDIA GPU answers (nvidia-smi)",
                "install its driver, pass it into the container (--gpus all), or set device to auto",
            )
        else:
            yield note("gpu", "no NVIDIA GPU: inference runs on the CPU")
        return
    import torch  # takes seconds

    if not torch.cuda.is_available():
        found = problem if device.startswith("cuda") else warning
        yield found(
            "gpu",
            f"{cards[0][0]} is there, but torch {torch.__version__} cannot use it",
            "install a torch build for this driver, or a newer driver (nvidia-smi shows its CUDA version)",
        )
        return
    for name, free, total in cards:
        try:
            memory = f"{float(free) / 1024:.1f} of {float(total) / 1024:.1f} GiB free"
        except ValueError:  # "[N/A]", where CPU and GPU share their memory
            memory = "its memory is the computer's"
        yield ok("gpu", f"{name}, {memory}")


def disk(folder: Path, min_free: float, contract: Contract | None) -> Iterator[Finding]:
    """Space and speed of the disk that episodes are recorded to.

    Args:
        folder: of the dataset; it need not exist.
        min_free: the recorder's min_free_space [MB].
        contract: for the images' rate; None if it is not known.
    """
    place = nearest_existing(folder)
    free = shutil.disk_usage(place).free / 1e6  # [MB]
    if free < min_free:
        yield problem(
            "disk",
            f"{free:.0f} MB are free at {place}, min_free_space is {min_free:g} MB: no episode can start",
            "delete or move data, or record elsewhere",
        )  # fmt: skip
        return
    if free < _SPARE * min_free:
        yield warning(
            "disk", f"only {free / 1e3:.1f} GB are free at {place}", "make room before a long session"
        )
    else:
        yield ok("disk", f"{free / 1e3:.0f} GB are free at {place}")
    try:
        speed = _write_speed(place)  # [MB/s]
    except OSError as error:
        yield problem("disk", f"nothing can be written to {place}: {error.strerror}", "choose another folder")
        return
    cameras = () if contract is None or contract.fps <= 0.0 else contract.cameras
    fps = 0.0 if contract is None else contract.fps
    rate = {  # [MB/s] of the disk; depth images are not compressed, and are written into journal and dataset
        is_depth: sum(
            1e-6 * math.prod(camera.image_shape) * np.dtype(camera.image_type).itemsize * fps
            for camera in cameras
            if camera.is_depth is is_depth
        )
        for is_depth in (False, True)
    }
    needed = max(_SLOWEST_DISK, 2.0 * (_VIDEO_SHARE * rate[False] + rate[True]))  # [MB/s]
    if speed < needed:
        yield warning(
            "disk",
            f"{place} takes {speed:.0f} MB/s with a flush, a recording needs {needed:.0f}",
            "record to a local SSD, not to a network or USB disk",
        )
    else:
        yield ok("disk", f"{place} takes {speed:.0f} MB/s, flushed to the disk")


def _write_speed(folder: Path) -> float:
    """How fast a file is written and flushed [MB/s]. Raises OSError if that is not possible."""
    block = os.urandom(1 << 20)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".dit_policy_doctor_") as file:
        began = time.monotonic()
        for _ in range(_TRIAL):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return _TRIAL * len(block) / 1e6 / max(time.monotonic() - began, 1e-6)
