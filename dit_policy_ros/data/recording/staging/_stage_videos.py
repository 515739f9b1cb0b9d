# SPDX-License-Identifier: Apache-2.0
"""Stages the videos of an episode and computes its statistics."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX
from dit_policy_ros.data.lerobot_calls import silence_ffmpeg
from dit_policy_ros.data.recording._journal_format import images_path
from dit_policy_ros.data.recording.staging._staged_episode import StagedEpisode
from dit_policy_ros.data.video import (
    Summary,
    decode_frames,
    decode_tiff,
    new_summary,
    read_tiffs,
    remux_to_mp4,
)

_ENCODER_KEYS = ("video.codec", "video.pix_fmt")


def stage_videos(episode: StagedEpisode) -> None:
    """Writes one MP4 file per camera; the first episode also describes them in info.json."""
    from lerobot.datasets.video_utils import get_video_info

    info, row = episode.info, episode.row
    video = episode.content.header.video
    for camera in episode.content.header.spec.cameras:
        if camera.is_depth:
            continue
        key = IMAGE_PREFIX + camera.name
        path = episode.new_file(info["video_path"], f"videos/{key}", video_key=key)
        remux_to_mp4(images_path(episode.journal, camera), path, episode.frames, int(info["fps"]))
        row[f"videos/{key}/from_timestamp"] = 0.0  # [s]
        row[f"videos/{key}/to_timestamp"] = episode.frames / info["fps"]  # [s]
        if row["episode_index"] == 0:
            kept = video.keeps_jpeg(camera)
            description = get_video_info(path, video_encoder=None if kept else video.lerobot_config())
            if kept:  # LeRobot would look for an encoder of that name when it edits, and refuse this one
                description = {
                    name: value for name, value in description.items() if name not in _ENCODER_KEYS
                }
            info["features"][key]["info"] = description
            silence_ffmpeg()


def episode_statistics(
    episode: StagedEpisode, columns: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Statistics of every feature of the episode, in LeRobot's format. columns: of the table of frames."""
    from lerobot.datasets.compute_stats import compute_episode_stats

    stats = compute_episode_stats(dict(columns), dict(episode.info["features"]))
    for camera in episode.content.header.spec.cameras:
        summary = episode.content.summaries.get(camera.name)
        if summary is None:
            summary = _summarize(images_path(episode.journal, camera), camera, episode.frames)
        stats[IMAGE_PREFIX + camera.name] = summary.statistics()
    return stats


def image_counts(stats: dict[str, Any] | None, info: Mapping[str, Any]) -> dict[str, Any] | None:
    """A dataset's statistics, with the number of images where earlier versions counted their pixels.

    LeRobot weighs statistics by their count, so pixels would count thousands of times.
    """
    most = np.array([info["total_frames"]])
    return stats and {
        key: group | {"count": np.minimum(group["count"], most)} if key.startswith(IMAGE_PREFIX) else group
        for key, group in stats.items()
    }


def _summarize(path: Path, camera: Camera, frames: int) -> Summary:
    """The summary that a crash has lost, from the images themselves."""
    summary = new_summary(camera.depth_unit)
    images: Iterable[np.ndarray] = (
        map(decode_tiff, read_tiffs(path, frames)) if camera.is_depth else decode_frames(path, frames)
    )
    for image in images:
        summary.add(image, fresh=False)
    return summary
