#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether killed recordings lose saved episodes, and whether saving slows down in long sessions.

1. Kills a recording session at random times with SIGKILL, SIGTERM and SIGINT: while it records, saves or
   commits. Every fourth time it also kills the recovery. Then it recovers the session and compares every
   episode whose save was acknowledged frame by frame: checksums of states, actions and decoded images.
2. Records on a small file system that becomes full during episodes, and kills every second session. Then it
   recovers, and compares what was answered as saved with what is in the dataset: number of frames and result
   of the check. It mounts a tmpfs, which needs root; without it this part is left
   out, and the result says so.
3. Records many short episodes in one session, and reports the time of save_episode and its slope.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from command_line import make_parser, parse, write_figures

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import DatasetSpec, read_records
from dit_policy_ros.data.recording import (
    MIN_FRAMES,
    DatasetWriter,
    Recover,
    pending_episodes,
    quarantined_episodes,
)

FPS, JOINTS = 30, tuple(f"joint_{number}" for number in range(14))
CAMERAS = tuple(Camera(name, f"/{name}", 120, 160, 0.5) for name in ("top", "left", "right"))
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def writer(root: Path, **options) -> DatasetWriter:
    return DatasetWriter(root, DatasetSpec(FPS, CAMERAS, JOINTS, "bench"), **options)


def image(episode: int, frame: int, camera: int) -> np.ndarray:
    """A moving gradient, different in every frame (h, w, 3)."""
    ramp = np.add.outer(np.arange(120), np.arange(160)) + 11 * frame + 40 * camera + 7 * episode
    return np.stack([ramp, ramp // 2, 255 - ramp], axis=-1).astype(np.uint8)


def vectors(episode: int, frame: int) -> tuple[np.ndarray, np.ndarray]:
    state = np.sin(np.arange(14) + 0.01 * frame + episode).astype(np.float32)
    return state, state + np.float32(0.01)


def session(root: Path, acknowledged: Path, episodes: int, frames: int) -> None:
    """Record at double speed. Write each acknowledged save to a file before continuing."""
    recorder = writer(root, background=True, recover=Recover.KEEP)
    with acknowledged.open("a") as notes:
        for episode in range(episodes):
            for frame in range(frames):
                images = {camera.name: image(episode, frame, n) for n, camera in enumerate(CAMERAS)}
                recorder.add_frame(images, *vectors(episode, frame), f"task {episode % 3}", frame)
                time.sleep(0.5 / FPS)
            index = recorder.save_episode()
            notes.write(f"{index}\n")
            notes.flush()
    recorder.finalize()


def in_child(work, kill_after: float | None, number: int = signal.SIGKILL) -> bool:
    """Run `work` in a fork. Returns whether it ended by itself before the signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a fork must not return into the parent's code
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, number)
    return os.waitpid(child, 0)[1] == 0


def recover(root: Path) -> None:
    writer(root, recover=Recover.KEEP).finalize()


def digests(root: Path) -> list[list[str]]:
    """One checksum per frame of every episode: state, action and decoded images."""
    from lerobot.datasets import LeRobotDataset

    if not (root / "meta" / "info.json").exists():
        return []
    dataset = LeRobotDataset("local/bench", root=root, video_backend="pyav", return_uint8=True)
    keys = ["observation.state", "action", *(f"observation.images.{camera.name}" for camera in CAMERAS)]
    episodes: list[list[str]] = [[] for _ in range(dataset.num_episodes)]
    for row in range(dataset.num_frames):
        item = dataset[row]
        total = hashlib.sha256(b"".join(item[key].numpy().tobytes() for key in keys))
        episodes[int(item["episode_index"])].append(total.hexdigest())
    return episodes


def read_in_child(root: Path, output: Path) -> list[list[str]]:
    """The digests, computed in a fork: threads that LeRobot starts here would make later forks unsafe."""
    assert in_child(lambda: output.write_text(json.dumps(digests(root))), None)
    return json.loads(output.read_text())


def kills(instants: int, episodes: int, frames: int, folder: Path) -> dict:
    rng = random.Random(0)
    length = episodes * frames * 0.5 / FPS * 1.15  # [s] about the duration of a session
    # The encoder is deterministic, so an undisturbed session gives the expected frames.
    whole = folder / "undisturbed"
    in_child(lambda: session(whole, folder / "undisturbed.txt", episodes, frames), None)
    wanted = read_in_child(whole, folder / "digests")
    assert [len(episode) for episode in wanted] == [frames] * episodes
    table: Counter = Counter()
    for number in range(instants):
        root, notes = folder / f"{number}", folder / f"{number}.txt"
        kind = SIGNALS[number % len(SIGNALS)]
        instant = rng.uniform(min(0.2, length / 2), length)
        in_child(lambda root=root, notes=notes: session(root, notes, episodes, frames), instant, kind)
        left = pending_episodes(root)
        when = "while recording" if left else "between episodes or after the last"
        if any((path / "label.json").exists() for path in left):
            when = "while committing"
        if number % 4 == 3:
            in_child(lambda root=root: recover(root), rng.uniform(0.01, 0.3))
        assert in_child(lambda root=root: recover(root), None)
        found = read_in_child(root, folder / "digests")
        saved = [int(line) for line in notes.read_text().split()] if notes.exists() else []
        lost = sum(index >= len(found) or found[index] != wanted[index] for index in saved)
        table[f"{signal.Signals(kind).name} {when}"] += 1
        table["acknowledged episodes"] += len(saved)
        table["acknowledged episodes lost"] += lost
        table["interrupted episodes kept"] += len(found) > len(saved)
        print(
            f"\rkills: {number + 1}/{instants}, lost {table['acknowledged episodes lost']}",
            end="",
            flush=True,
        )
    print()
    return dict(table) | {"instants": instants}


def filling_session(root: Path, answers: Path, seed: int) -> None:
    """Record noise; before every second episode the disk becomes nearly full, and is freed before the save.

    Write what each save has answered to a file before continuing.
    """
    rng, filler = np.random.default_rng(seed), root.with_name("filler")
    recorder = writer(root, recover=Recover.KEEP)
    with answers.open("a") as notes:
        for episode in range(8):
            recorder.begin_episode()
            if episode % 2:
                left = int(rng.integers(20_000, 500_000))
                with filler.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(root).free - left)
            with contextlib.suppress(DatasetError):
                for frame in range(20):
                    images = {c.name: rng.integers(0, 256, (120, 160, 3), np.uint8) for c in CAMERAS}
                    recorder.add_frame(images, *vectors(episode, frame), f"task {episode % 3}", frame)
            ended = recorder.end_episode()
            filler.unlink(missing_ok=True)  # the operator has seen that it failed
            if ended.frames < MIN_FRAMES:
                recorder.discard_episode()
                continue
            index = recorder.save_episode()
            notes.write(f"{index} {ended.frames} {int(ended.failure is None)}\n")
            notes.flush()
    recorder.finalize()


def full_disks(count: int, folder: Path) -> dict | str:
    """Sessions on small file systems that become full."""
    rng = random.Random(1)
    table: Counter = Counter()
    for number in range(count):
        disk, notes = folder / f"disk_{number}", folder / f"answers_{number}.txt"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            return "left out: mounting is not permitted here"
        try:
            root = disk / "dataset"
            kill_after = rng.uniform(0.5, 4.0) if number % 2 else None
            in_child(lambda root=root, notes=notes, n=number: filling_session(root, notes, n), kill_after)
            (disk / "filler").unlink(missing_ok=True)  # of a killed session
            assert in_child(lambda root=root: recover(root), None)
            records = read_records(root)
            table["in quarantine"] += len(quarantined_episodes(root))
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=False)
        for line in notes.read_text().split("\n")[:-1] if notes.exists() else []:
            index, frames, passed = map(int, line.split())
            record = records.get(index)
            wrong = record is None or (record.frames, record.passed) != (frames, bool(passed))
            table["saves answered"] += 1
            table["of episodes that lost frames"] += not passed
            table["answers that are not in the files"] += wrong
        print(f"\rfull disks: {number + 1}/{count}", end="", flush=True)
    print()
    return dict(table) | {"sessions": count}


def saves(count: int, folder: Path) -> dict:
    recorder = writer(folder / "long", background=True)
    times = []
    for episode in range(count):
        for frame in range(10):
            images = {camera.name: image(episode, frame, n) for n, camera in enumerate(CAMERAS)}
            recorder.add_frame(images, *vectors(episode, frame), "task", frame)
        recorder.end_episode()
        begin = time.perf_counter()
        recorder.save_episode()
        times.append(time.perf_counter() - begin)
        while recorder.pending_commits > 2:
            time.sleep(0.01)  # as in practice, where operators pause between episodes
        print(f"\rsaves: {episode + 1}/{count}", end="", flush=True)
    print()
    recorder.finalize()
    slope = np.polyfit(np.arange(count), times, 1)[0]
    return {
        "saves": count,
        "save_p50_ms": 1e3 * float(np.median(times)),
        "save_p99_ms": 1e3 * float(np.percentile(times, 99)),
        "save_slope_ms_per_episode": 1e3 * float(slope),
    }


def main() -> int:
    parser = make_parser(__doc__, "out/bench/recorder_durability.json")
    parser.add_argument("--instants", type=int, default=100, help="number of kills")
    parser.add_argument("--episodes", type=int, default=10, help="episodes of each killed session")
    parser.add_argument("--frames", type=int, default=60, help="frames of each episode")
    parser.add_argument("--full-disks", type=int, default=20, help="sessions on a disk that becomes full")
    parser.add_argument("--saves", type=int, default=200, help="saves in one session; 0 skips this part")
    options = parse(parser, instants=4, episodes=2, frames=10, saves=3, full_disks=2)
    import lerobot.datasets  # noqa: F401 - imported once, before the forks

    warnings.filterwarnings(
        "ignore", "This process .* is multi-threaded", DeprecationWarning
    )  # they are idle
    with tempfile.TemporaryDirectory() as folder:
        result = {"kills": kills(options.instants, options.episodes, options.frames, Path(folder))}
        result["full_disks"] = full_disks(options.full_disks, Path(folder))
        if options.saves:
            result["saves"] = saves(options.saves, Path(folder))
    write_figures(options.output, result)
    print(json.dumps(result, indent=1))
    full = result["full_disks"]
    wrong = 0 if isinstance(full, str) else full.get("answers that are not in the files", 0)
    return 1 if result["kills"]["acknowledged episodes lost"] or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
