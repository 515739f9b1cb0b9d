# SPDX-License-Identifier: Apache-2.0
"""A dataset at a glance: its episodes with their verdicts, its tasks, and a picture."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset._episode_records import EpisodeRecord, read_records
from dit_policy_ros.data.dataset._files import check_readable

FEW, GOAL = 50, 300  # demonstrations of a task: fewer is too few to learn from, more hardly helps
_COLUMNS = ["episode_index", "frame_index", STATE_KEY, ACTION_KEY]


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """One episode. record: None if another program recorded it."""

    index: int
    tasks: tuple[str, ...]
    frames: int
    seconds: float
    record: EpisodeRecord | None


def episode_rows(root: Path) -> list[EpisodeRow]:
    """All episodes of a dataset. Raises DatasetError."""
    import pyarrow.parquet as pq

    info = check_readable(root)
    records = read_records(root)
    rows: dict[int, EpisodeRow] = {}
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        for row in pq.read_table(path, columns=["episode_index", "tasks", "length"]).to_pylist():
            index, length = row["episode_index"], row["length"]
            rows[index] = EpisodeRow(
                index, tuple(row["tasks"]), length, length / info["fps"], records.get(index)
            )
    return [rows[index] for index in range(info["total_episodes"])]


def task_counts(rows: Sequence[EpisodeRow]) -> dict[str, int]:
    """Episodes of each task that passed, the most frequent first; tasks without any are there too."""
    counts = Counter({task: 0 for row in rows for task in row.tasks})
    counts.update(task for row in rows if row.record is None or row.record.passed for task in row.tasks)
    return dict(counts.most_common())


def draw(root: Path, rows: Sequence[EpisodeRow], target: Path) -> None:
    """A picture: per episode its joints, commands and flagged frames, its frame times, and some images.

    Raises DatasetError if the dataset cannot be read or the picture cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    info = check_readable(root)
    cameras = sorted(key for key, feature in info["features"].items() if feature["dtype"] == "video")
    names = info["features"][STATE_KEY]["names"]
    figure, axes = plt.subplots(
        len(rows), 2 + 3 * len(cameras), figsize=(10 + 9.6 * len(cameras), 2.4 * len(rows)), squeeze=False,
        width_ratios=[2.2, 1.4] + [1.0] * (3 * len(cameras)), layout="constrained",
    )  # fmt: skip
    vectors = _vectors(root, {row.index for row in rows})
    images = _images(root, rows, cameras)
    for line, row in zip(axes, rows, strict=True):
        state, action = vectors[row.index]
        time = np.arange(len(state)) / info["fps"]  # [s]
        for joint in range(state.shape[1]):
            (drawn,) = line[0].plot(time, state[:, joint], linewidth=1)
            line[0].plot(time, action[:, joint], linewidth=0.7, linestyle=":", color=drawn.get_color())
        for frame in [] if row.record is None else row.record.flagged():
            line[0].axvspan(
                frame / info["fps"], (frame + 1) / info["fps"], color="red", alpha=0.3, linewidth=0
            )
        passed = row.record is None or row.record.passed
        line[0].set_title(
            f"{row.index}: {'; '.join(row.tasks)[:60]}{'' if passed else '  FAILED'}",
            fontsize=8, loc="left", color="black" if passed else "red",
        )  # fmt: skip
        line[0].tick_params(labelsize=6)
        _draw_intervals(line[1], row.record, info["fps"])
        for axis, image in zip(line[2:], images[row.index], strict=True):
            axis.imshow(image)
            axis.axis("off")
    for number, camera in enumerate(cameras):
        axes[0][2 + 3 * number].set_title(camera.removeprefix(IMAGE_PREFIX), fontsize=8)
    axes[-1][0].set_xlabel("[s]; solid: joints, dotted: commands, red: repeated samples", fontsize=7)
    axes[-1][1].set_xlabel("[s]; from one new sample of a stream to the next [ms]", fontsize=7)
    axes[0][0].set_ylabel(f"{len(names)} joints", fontsize=7)
    try:
        figure.savefig(target, dpi=90)
    except (OSError, ValueError) as error:
        raise DatasetError(f"the picture {target} cannot be written: {error}") from error
    finally:
        plt.close(figure)


def intervals(record: EpisodeRecord, fps: float) -> dict[str, tuple[NDArray, NDArray]]:
    """By stream that repeated any: when new samples came, and how long after the last new one, (M,) [s]."""
    found = {}
    for stream, spans in record.repeated.items():
        fresh = np.ones(record.frames, dtype=bool)  # (frames,)
        for first, last in spans:
            fresh[first : last + 1] = False
        times = np.flatnonzero(fresh) / fps  # (M + 1,)
        found[stream] = (times[1:], np.diff(times))
    return found


def _draw_intervals(axis: Any, record: EpisodeRecord | None, fps: float) -> None:
    """Where streams fell behind the dataset's clock; what the slowest camera reached stands above."""
    axis.tick_params(labelsize=6)
    if record is None:
        axis.set_title("frame times: not known", fontsize=7, loc="left")
        return
    rate, p99 = record.figures.get("fps"), record.figures.get("interval_p99")
    measured = f"slowest camera: {rate:.1f} Hz, 99% within {1e3 * p99:.0f} ms" if rate and p99 else ""
    axis.set_title(measured, fontsize=7, loc="left")
    axis.axhline(1e3 / fps, color="grey", linewidth=0.7, linestyle=":")
    for stream, (times, gaps) in intervals(record, fps).items():
        axis.plot(times, 1e3 * gaps, linewidth=1, drawstyle="steps-pre", label=stream)
    axis.set_xlim(0.0, record.frames / fps)
    axis.set_ylim(bottom=0.0)
    if record.repeated:
        axis.legend(fontsize=6)


def _vectors(root: Path, wanted: set[int]) -> dict[int, tuple[NDArray, NDArray]]:
    """State and action, both (N, D), of some episodes."""
    import pyarrow.dataset as ds

    files = [str(path) for path in sorted((root / "data").glob("*/*.parquet"))]
    table = ds.dataset(files, format="parquet").to_table(
        columns=_COLUMNS, filter=ds.field("episode_index").isin(sorted(wanted))
    )
    episode = table["episode_index"].to_numpy()  # (M,)
    order = np.lexsort((table["frame_index"].to_numpy(), episode))
    columns = [np.array(table[name].to_pylist())[order] for name in (STATE_KEY, ACTION_KEY)]
    return {
        index: (columns[0][episode[order] == index], columns[1][episode[order] == index]) for index in wanted
    }


def _images(root: Path, rows: Sequence[EpisodeRow], cameras: Sequence[str]) -> dict[int, list[NDArray]]:
    """First, middle and last image of each camera, (H, W, 3) in 0 to 1."""
    from dit_policy_ros.data.quiet import quiet, same_root_logger

    with same_root_logger():
        from lerobot.datasets import LeRobotDataset
    try:
        with quiet():
            dataset: Any = LeRobotDataset(f"local/{root.name}", root=root, video_backend="pyav")
            starts = dataset.meta.episodes["dataset_from_index"]
            result = {}
            for row in rows:
                items = [dataset[starts[row.index] + n] for n in (0, row.frames // 2, row.frames - 1)]
                result[row.index] = [
                    item[camera].permute(1, 2, 0).numpy() for camera in cameras for item in items
                ]
            return result
    except (OSError, ValueError, RuntimeError, KeyError, IndexError) as error:
        raise DatasetError(f"dataset {root} cannot be read: {error!r}") from error
