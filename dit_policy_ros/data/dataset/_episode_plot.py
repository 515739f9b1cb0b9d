# SPDX-License-Identifier: Apache-2.0
"""Plots episodes: joints, commands, flagged frames, sample intervals and some images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset._files import check_readable
from dit_policy_ros.data.dataset._overview import EpisodeRow
from dit_policy_ros.data.dataset._side_table import EpisodeRecord
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, quiet_lerobot

_COLUMNS = ["episode_index", "frame_index", STATE_KEY, ACTION_KEY]


def plot_episodes(root: Path, rows: Sequence[EpisodeRow], target: Path) -> None:
    """Writes a figure with one line of plots and images per episode.

    Args:
        root: the dataset's folder.
        rows: the episodes.
        target: file to write; its suffix selects the format (png, pdf, svg).

    Raises:
        DatasetError: the dataset cannot be read, or the file cannot be written.
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
        _plot_joints(line[0], row, vectors[row.index], info["fps"])
        _plot_intervals(line[1], row.record, info["fps"])
        for axis, image in zip(line[2:], images[row.index], strict=True):
            axis.imshow(image)
            axis.axis("off")
    for number, camera in enumerate(cameras):
        axes[0][2 + 3 * number].set_title(camera.removeprefix(IMAGE_PREFIX), fontsize=8)
    axes[-1][0].set_xlabel("[s]; solid: joints, dotted: commands, red: repeated samples", fontsize=7)
    axes[-1][1].set_xlabel("[s]; interval between new samples of a stream [ms]", fontsize=7)
    axes[0][0].set_ylabel(f"{len(names)} joints", fontsize=7)
    try:
        figure.savefig(target, dpi=90)
    except (OSError, ValueError) as error:
        raise DatasetError(f"the figure {target} cannot be written: {error}") from error
    finally:
        plt.close(figure)


def _plot_joints(axis: Any, row: EpisodeRow, vectors: tuple[NDArray, NDArray], fps: float) -> None:
    """Joints and commands over time, flagged frames in red."""
    state, action = vectors  # (N, D) each
    time = np.arange(len(state)) / fps  # (N,) [s]
    for joint in range(state.shape[1]):
        (line,) = axis.plot(time, state[:, joint], linewidth=1)
        axis.plot(time, action[:, joint], linewidth=0.7, linestyle=":", color=line.get_color())
    for frame in [] if row.record is None else row.record.flagged():
        axis.axvspan(frame / fps, (frame + 1) / fps, color="red", alpha=0.3, linewidth=0)
    passed = row.record is None or row.record.passed
    axis.set_title(
        f"{row.index}: {'; '.join(row.tasks)[:60]}{'' if passed else '  FAILED'}",
        fontsize=8, loc="left", color="black" if passed else "red",
    )  # fmt: skip
    axis.tick_params(labelsize=6)


def sample_intervals(record: EpisodeRecord, fps: float) -> dict[str, tuple[NDArray, NDArray]]:
    """When new samples arrived, and the time since the previous new one, both (M,) [s].

    By stream; only the streams that repeated a sample.
    """
    found = {}
    for stream, spans in record.repeated.items():
        is_new = np.ones(record.frames, dtype=bool)  # (frames,)
        for first, last in spans:
            is_new[first : last + 1] = False
        times = np.flatnonzero(is_new) / fps  # (M + 1,)
        found[stream] = (times[1:], np.diff(times))
    return found


def _plot_intervals(axis: Any, record: EpisodeRecord | None, fps: float) -> None:
    """Sample intervals of the streams that fell behind; the title gives the slowest camera's rate."""
    axis.tick_params(labelsize=6)
    if record is None:
        axis.set_title("sample intervals: unknown", fontsize=7, loc="left")
        return
    rate, p99 = record.figures.get("fps"), record.figures.get("interval_p99")
    measured = f"slowest camera: {rate:.1f} Hz, 99% within {1e3 * p99:.0f} ms" if rate and p99 else ""
    axis.set_title(measured, fontsize=7, loc="left")
    axis.axhline(1e3 / fps, color="grey", linewidth=0.7, linestyle=":")
    for stream, (times, gaps) in sample_intervals(record, fps).items():
        axis.plot(times, 1e3 * gaps, linewidth=1, drawstyle="steps-pre", label=stream)
    axis.set_xlim(0.0, record.frames / fps)
    axis.set_ylim(bottom=0.0)
    if record.repeated:
        axis.legend(fontsize=6)


def _vectors(root: Path, episodes: set[int]) -> dict[int, tuple[NDArray, NDArray]]:
    """State and action, both (N, D), by episode."""
    import pyarrow.dataset as ds

    files = [str(path) for path in sorted((root / "data").glob("*/*.parquet"))]
    table = ds.dataset(files, format="parquet").to_table(
        columns=_COLUMNS, filter=ds.field("episode_index").isin(sorted(episodes))
    )
    episode = table["episode_index"].to_numpy()  # (M,)
    order = np.lexsort((table["frame_index"].to_numpy(), episode))
    columns = [np.array(table[name].to_pylist())[order] for name in (STATE_KEY, ACTION_KEY)]
    return {
        index: (columns[0][episode[order] == index], columns[1][episode[order] == index])
        for index in episodes
    }


def _images(root: Path, rows: Sequence[EpisodeRow], cameras: Sequence[str]) -> dict[int, list[NDArray]]:
    """First, middle and last image of each camera, (H, W, 3) in 0 to 1, by episode."""
    with preserve_root_logger():
        from lerobot.datasets import LeRobotDataset
    try:
        with quiet_lerobot():
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
