# SPDX-License-Identifier: Apache-2.0
"""An episode of a dataset in Rerun: cameras, vectors, instruction, check, repeated samples, who drove."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.data.dataset import EpisodeFrames
from dit_policy_ros.evaluation.view._recording import Recording

_SHORT = {STATE_KEY: "state", ACTION_KEY: "action"}  # as in LeRobot's own viewer


def log_episode(
    recording: Recording, episode: EpisodeFrames, report: Callable[[int], None] = lambda _: None
) -> None:
    """Show an episode.

    Args:
        recording: gets everything.
        episode: is shown.
        report: called with the number of frames whose images are done.

    Raises:
        DatasetError: an image cannot be decoded.
    """
    seconds = np.arange(episode.row.frames) / episode.fps  # (N,) [s]
    for key, (names, values) in episode.vectors.items():
        for entry, name in enumerate(names):
            recording.curve(f"{_SHORT.get(key, key)}/{name}", seconds, values[:, entry])
    recording.document("check", _check_text(episode))
    for frame, task in _changes(episode.tasks):
        recording.text("task", float(seconds[frame]), task)
    for name, values in episode.drivers.items():
        if values.dtype == bool:
            recording.curve(name, seconds, values.astype(np.float64))
        else:
            for frame, driver in _changes(values.tolist()):
                recording.text(name, float(seconds[frame]), str(driver))
    for stream, spans in {} if episode.row.record is None else episode.row.record.repeated.items():
        flagged = np.zeros(episode.row.frames)  # (N,)
        for first, last in spans:
            flagged[first : last + 1] = 1.0
        recording.curve(f"repeated/{stream}", seconds, flagged)
    units = {episode.cameras[key]: unit for key, unit in episode.depth_cameras.items()}
    for frame, images in enumerate(episode.images()):
        for name, image in images.items():
            if name in units:
                recording.depth(f"camera/{name}", float(seconds[frame]), image, units[name])
            else:
                recording.image(f"camera/{name}", float(seconds[frame]), image)
        report(frame + 1)


def _changes(values: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Index and value wherever a value differs from the one before."""
    for index, value in enumerate(values):
        if index == 0 or value != values[index - 1]:
            yield index, value


def _check_text(episode: EpisodeFrames) -> str:
    row, record = episode.row, episode.row.record
    lines = [f"# Episode {row.index}", "; ".join(row.tasks), f"{row.frames} frames, {row.seconds:.1f} s"]
    if record is None:
        return "\n\n".join([*lines, "It has no check: another program recorded it."])
    label = {True: "success", False: "failure", None: "none"}[record.success]
    lines += [f"**{'Passed' if record.passed else 'FAILED'} the check**, label: {label}"]
    lines += [f"* {reason}" for reason in record.reasons]
    lines += [f"{name}: {value}" for name, value in record.figures.items()]
    return "\n\n".join(lines)
