# SPDX-License-Identifier: Apache-2.0
"""Plots episodes: joints, commands, flagged frames, sample intervals and some images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.data.dataset._metadata import open_metadata
from dit_policy_ros.data.dataset._overview import EpisodeRow
from dit_policy_ros.data.dataset._side_table import EpisodeRecord
from dit_policy_ros.data.description import CameraFeature, describe_dataset
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, reading_dataset
from dit_policy_ros.data.video import depth_picture

# A page 900 pixels wide; of its columns an episode's plots take two thirds and one third.
_WIDTH, _PLOT_HEIGHT, _STRIP_HEIGHT = 9.0, 1.7, 1.15  # [inch]
_COLUMNS, _CAMERAS_IN_A_STRIP = 18, 3
_LONGEST_TITLE = 70  # [characters]


def plot_episodes(root: Path, rows: Sequence[EpisodeRow], target: Path) -> None:
    """Writes a figure with plots and images of each episode, one below the other.

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

    description = describe_dataset(root)
    shown = [each for each in description.cameras if not each.problem or each.depth_unit]
    cameras = sorted(shown, key=lambda each: each.name)
    fps = description.fps
    present = [each for each in (description.state, description.action) if each is not None]
    vectors = episode_vectors(root, {row.index for row in rows}, [feature.key for feature in present])
    images = _images(root, rows, cameras)
    strips = -(-len(cameras) // _CAMERAS_IN_A_STRIP)  # lines of images below an episode's plots
    heights = ([_PLOT_HEIGHT] + [_STRIP_HEIGHT] * strips) * len(rows)
    figure = plt.figure(figsize=(_WIDTH, sum(heights) + 0.3), layout="constrained")
    grid = figure.add_gridspec(len(heights), _COLUMNS, height_ratios=heights)
    for number, row in enumerate(rows):
        line = number * (1 + strips)
        joints = figure.add_subplot(grid[line, : _COLUMNS * 2 // 3])
        intervals = figure.add_subplot(grid[line, _COLUMNS * 2 // 3 :])
        _plot_joints(joints, row, vectors[row.index], fps)
        _plot_intervals(intervals, row.record, fps)
        joints.set_ylabel("[rad or m]", fontsize=8)
        _show_images(figure, grid, line + 1, cameras, images[row.index])
        if number == len(rows) - 1:
            joints.set_xlabel("[s]; solid: joints, dotted: commands, red: repeated samples", fontsize=8)
            intervals.set_xlabel("[s]", fontsize=8)
    names = ", ".join(f"{each.key} {each.shape}" for each in present)
    figure.suptitle(f"{root.name}: {names}, {fps:g} Hz", fontsize=9)
    try:
        figure.savefig(target, dpi=100)
    except (OSError, ValueError) as error:
        raise DatasetError(f"the figure {target} cannot be written: {error}") from error
    finally:
        plt.close(figure)


def _show_images(
    figure: Any, grid: Any, line: int, cameras: Sequence[CameraFeature], images: Sequence[NDArray]
) -> None:
    """Three images of each camera below an episode's plots, from this line of the grid on."""
    side_by_side = min(len(cameras), _CAMERAS_IN_A_STRIP)
    for number, image in enumerate(images):
        strip, place = divmod(number, 3 * _CAMERAS_IN_A_STRIP)
        span = _COLUMNS // (3 * side_by_side)
        axis = figure.add_subplot(grid[line + strip, place * span : (place + 1) * span])
        axis.imshow(image)
        axis.axis("off")
        if number % 3 == 0:
            axis.set_title(cameras[number // 3].name, fontsize=8, loc="left")


def _shortened(text: str) -> str:
    """The text, or its beginning with a mark that it goes on."""
    return text if len(text) <= _LONGEST_TITLE else f"{text[: _LONGEST_TITLE - 3]}..."


def _plot_joints(axis: Any, row: EpisodeRow, vectors: Mapping[str, NDArray], fps: float) -> None:
    """Joints and commands over time, flagged frames in red."""
    state = vectors.get(STATE_KEY, np.empty((row.frames, 0)))  # (N, D)
    action = vectors.get(ACTION_KEY, np.empty((row.frames, 0)))  # (N, A)
    time = np.arange(row.frames) / fps  # (N,) [s]
    colors = [axis.plot(time, values, linewidth=1)[0].get_color() for values in state.T]
    for entry, values in enumerate(action.T):
        color = colors[entry] if entry < len(colors) else None
        axis.plot(time, values, linewidth=0.7, linestyle=":", color=color)
    for frame in [] if row.record is None else row.record.flagged():
        axis.axvspan(frame / fps, (frame + 1) / fps, color="red", alpha=0.3, linewidth=0)
    passed = row.record is None or row.record.passed
    axis.set_title(
        f"{row.index}: {_shortened('; '.join(row.tasks))}{'' if passed else '  FAILED'}",
        fontsize=9, loc="left", color="black" if passed else "red",
    )  # fmt: skip
    axis.tick_params(labelsize=8)


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
    axis.tick_params(labelsize=8)
    axis.set_ylabel("between samples [ms]", fontsize=8)
    if record is None:
        axis.set_title("sample intervals: unknown", fontsize=8, loc="left")
        return
    rate, p99 = (record.figures.get(name) for name in ("fps", "interval_p99"))
    measured = ""
    if isinstance(rate, int | float) and isinstance(p99, int | float) and rate and p99:
        measured = f"slowest camera {rate:.1f} Hz, 99% in {1e3 * p99:.0f} ms"
    axis.set_title(measured, fontsize=8, loc="left")
    axis.axhline(1e3 / fps, color="grey", linewidth=0.7, linestyle=":")
    for stream, (times, gaps) in sample_intervals(record, fps).items():
        axis.plot(times, 1e3 * gaps, linewidth=1, drawstyle="steps-pre", label=stream)
    axis.set_xlim(0.0, record.frames / fps)
    axis.set_ylim(bottom=0.0)
    if record.repeated:
        axis.legend(fontsize=7)


def episode_vectors(root: Path, episodes: set[int], keys: Sequence[str]) -> dict[int, dict[str, NDArray]]:
    """The vectors with these keys, (N, entries) each, by episode. Raises DatasetError."""
    import pyarrow.dataset as ds

    files = [str(path) for path in sorted((root / "data").glob("*/*.parquet"))]
    with reading_dataset(root):
        table = ds.dataset(files, format="parquet").to_table(
            columns=["episode_index", "frame_index", *keys],
            filter=ds.field("episode_index").isin(sorted(episodes)),
        )
        episode = table["episode_index"].to_numpy()  # (M,)
        order = np.lexsort((table["frame_index"].to_numpy(), episode))
        columns = {key: np.array(table[key].to_pylist())[order] for key in keys}
        episode = episode[order]
        return {
            index: {
                key: values[episode == index].reshape((episode == index).sum(), -1)
                for key, values in columns.items()
            }
            for index in episodes
        }


def _picture(camera: CameraFeature, image: NDArray) -> NDArray:
    """A picture (H, W, 3) in 0 to 1; LeRobot gives distances in mm."""
    return depth_picture(image, "mm") / 255.0 if camera.depth_unit else image


def _images(
    root: Path, rows: Sequence[EpisodeRow], cameras: Sequence[CameraFeature]
) -> dict[int, list[NDArray]]:
    """First, middle and last image of each camera, (H, W, 3) in 0 to 1, by episode."""
    if not cameras:
        return {row.index: [] for row in rows}
    open_metadata(root)  # names a file that is missing
    with preserve_root_logger():
        from lerobot.datasets import LeRobotDataset
    with reading_dataset(root):
        dataset: Any = LeRobotDataset(f"local/{root.name}", root=root, video_backend="pyav")
        starts = dataset.meta.episodes["dataset_from_index"]
        result = {}
        for row in rows:
            items = [dataset[starts[row.index] + n] for n in (0, row.frames // 2, row.frames - 1)]
            result[row.index] = [
                _picture(camera, item[camera.key].permute(1, 2, 0).numpy())
                for camera in cameras
                for item in items
            ]
        return result
