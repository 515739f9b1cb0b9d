# SPDX-License-Identifier: Apache-2.0
"""Memory of training from video does not grow with the images, however many there are."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
from tiny_dataset import save_for_dataset, write_tiny_dataset

ROOT = Path(__file__).resolve().parents[3]
LENGTH = 40
# Trains three steps, then prints the most memory [byte] that it took while training, and the most that one of
# its workers took. Of its own, files that are mapped do not count: the kernel takes that memory back.
PROGRAM = """
import resource, sys, threading
from dit_policy_ros.cli.train import main
most, ended = 0, threading.Event()
def watch():
    global most
    while not ended.wait(0.02):
        lines = open("/proc/self/smaps_rollup").read().splitlines()[1:]
        values = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines}
        most = max(most, values["Anonymous:"])
watcher = threading.Thread(target=watch)
watcher.start()
code = main(sys.argv[1:])
ended.set()
watcher.join()
print("memory", most, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)
"""


def repeat_episodes(root: Path, times: int) -> int:
    """Lets the dataset's tables name each of its episodes many times. Returns the number of frames.

    All of them show the same few video files, so a dataset of any size takes next to no disk.
    """
    (table_file,) = (root / "data").glob("*/*.parquet")
    table = parquet.read_table(table_file)
    (episodes_file,) = (root / "meta" / "episodes").glob("*/*.parquet")
    episodes = parquet.read_table(episodes_file)
    rows, count = len(table), len(episodes)
    repeated = pa.concat_tables([table] * times)
    numbers = {
        "index": np.arange(rows * times),
        "episode_index": np.tile(table["episode_index"].to_numpy(), times)
        + np.repeat(np.arange(times) * count, rows),
    }
    for name, values in numbers.items():
        place = repeated.column_names.index(name)
        repeated = repeated.set_column(place, repeated.schema.field(name), pa.array(values))
    parquet.write_table(repeated, table_file)
    repeated = pa.concat_tables([episodes] * times)
    shift = np.repeat(np.arange(times), count)
    for name, by in {"episode_index": count, "dataset_from_index": rows, "dataset_to_index": rows}.items():
        place = repeated.column_names.index(name)
        values = repeated[name].to_numpy() + by * shift
        repeated = repeated.set_column(place, repeated.schema.field(name), pa.array(values))
    parquet.write_table(repeated, episodes_file)
    info = root / "meta" / "info.json"
    content = json.loads(info.read_text())
    content |= {"total_frames": rows * times, "total_episodes": count * times}
    content["splits"] = {"train": f"0:{count * times}"}
    info.write_text(json.dumps(content))
    return rows * times


@pytest.mark.slow  # test_streaming.py checks the same path at a usual size
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """A hundred times as many images; the difference in memory is that of the tables."""
    start = save_for_dataset(tmp_path / "start", n_obs_steps=2)
    memory = dict[int, tuple[int, int]]()
    for times in (100, 10_000):
        root = write_tiny_dataset(tmp_path / f"set_{times}", episodes=1, length=LENGTH)
        frames = repeat_episodes(root, times)
        arguments = ["--dataset", root, "--init", start, "--statistics", "dataset", "--steps", 3, "--device"]
        arguments += ["cpu", "--batch-size", 4, "--workers", 1, "--stream", "--output", tmp_path / f"{times}"]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        line = next(line for line in done.stdout.splitlines() if line.startswith("memory "))
        own, workers = map(int, line.split()[1:])
        memory[frames] = own, workers
    (few, (own, workers)), (many, (own_later, workers_later)) = memory.items()
    # 10,000 episodes of 40 frames: most of it is what LeRobot keeps for each episode.
    assert own_later - own < 250 * (many - few), "beside indices, nothing grows with the frames"
    assert workers_later - workers < 600 * (many - few), "a worker shares what its parent has"
