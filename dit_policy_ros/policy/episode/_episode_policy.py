# SPDX-License-Identifier: Apache-2.0
"""Plays the actions of a recorded episode; it never looks at an image.

A chunk leads slowly from where the joints are to the episode's first pose, then through all of its actions.
It is made for pacing stop_and_go, which asks at rest and executes the whole chunk. If motion was interrupted,
the next chunk goes on from the nearest pose of the rest.

Shapes: N actions, A joints, H rows of a chunk.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.core.policy_interface import StepBudget, VectorInput
from dit_policy_ros.policy.checkpoint import ACTIONS_FILE, CONFIG_FILE

EPISODE_TYPE = "recorded_episode"
_PEAK_SPEED = 1.875  # of a quintic over 1 in 1 s
_SAME = 0.02  # [share of the range of an episode] poses that differ less are one
_LATENCY = 1e-3  # [s]


@dataclass(frozen=True, slots=True, eq=False)
class RecordedEpisode:
    """What is played.

    Attributes:
        actions: float32 (N, A) [rad or m].
        joints: their names.
        fps: rate of the actions [Hz].
        task: the instruction that was recorded.
        approach_speed: (A,) fastest on the way to the first pose [rad/s or m/s].
        approach_rows: most rows that this way may take.
    """

    actions: NDArray[np.float32]
    joints: tuple[str, ...]
    fps: float
    task: str
    approach_speed: NDArray[np.float32]
    approach_rows: int


class EpisodePolicy:
    """A ``Policy``; see the module."""

    device, backend, steps, uses_previous = "cpu", "plays recorded actions", 1, False
    n_obs_steps, unseen_state = 1, ""
    vectors: tuple[VectorInput, ...] = ()
    image_shapes: Mapping[str, tuple[int, int]] = MappingProxyType({})

    def __init__(self, episode: RecordedEpisode) -> None:
        self._episode = episode
        self._begin: int | None = None  # first action of the newest chunk
        self.fps: float | None = episode.fps
        self.joint_names: tuple[str, ...] | None = episode.joints
        self.action_names: tuple[str, ...] | None = episode.joints
        self.known_tasks = (episode.task,)
        self.state_dim = self.action_dim = len(episode.joints)
        self.horizon = len(episode.actions) + episode.approach_rows
        seconds = len(episode.actions) / episode.fps
        self.description = f"a recorded episode of {seconds:.1f} s: {episode.task!r}"

    def predict(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.float32],
        task: str,
        noise: NDArray[np.float32] | None = None,
        previous: Continuation | None = None,
    ) -> NDArray[np.float32]:
        """The way to the episode's next pose and all actions from there on, (H, A); see Policy.

        Raises:
            CheckpointError: the joints are further from that pose than the way may take.
        """
        here, actions = state[-1].astype(np.float64), self._episode.actions
        self._begin = begin = 0 if self._begin is None else self._nearest(here, self._begin)
        way = self._approach(here, actions[begin].astype(np.float64))  # (R, A)
        if len(way) > self._episode.approach_rows:
            raise CheckpointError("the joints are too far from the episode: bring them closer to its pose")
        rest = self.horizon - len(way) - (len(actions) - begin)
        return np.concatenate([way, actions[begin:], np.tile(actions[-1], (rest, 1))]).astype(np.float32)

    def seed_sampling(self, seed: int) -> None:
        """Nothing is random."""

    def encode(self, images: Mapping[str, NDArray[np.uint8]]) -> None:
        """No image is read."""

    def warm_up(self, n: int) -> NDArray[np.float64]:
        """See Policy."""
        return np.full(n, _LATENCY)

    def fit_steps(self, max_latency: float, n: int) -> StepBudget:
        """See Policy."""
        return StepBudget(1, _LATENCY)

    def _approach(self, here: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows (R, A) from ``here`` (A,), included, to ``goal`` (A,), not included."""
        way = goal - here  # (A,)
        seconds = _PEAK_SPEED * float((np.abs(way) / self._episode.approach_speed).max())
        rows = max(1, math.ceil(seconds * self._episode.fps))
        u = (np.arange(rows) / rows)[:, None]  # (R, 1)
        return here + u**3 * (10.0 - 15.0 * u + 6.0 * u * u) * way

    def _nearest(self, here: NDArray[np.float64], first: int) -> int:
        """The last action from ``first`` on that is as near as any to ``here`` (A,)."""
        actions = self._episode.actions
        span = np.maximum(np.ptp(actions, axis=0), 1e-6)  # (A,)
        away = (np.abs(actions[first:] - here) / span).max(axis=1)  # (N',)
        return first + int(np.flatnonzero(away <= away.min() + _SAME)[-1])


def write_episode_policy(folder: Path, episode: RecordedEpisode) -> None:
    """Writes an episode into a folder that ``load_policy`` reads. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "type": EPISODE_TYPE,
        "fps": episode.fps,
        "joints": list(episode.joints),
        "task": episode.task,
        "approach_rows": episode.approach_rows,
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
    arrays = {"actions": episode.actions, "approach_speed": episode.approach_speed}
    save_file(
        {name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}, folder / ACTIONS_FILE
    )


def load_episode_policy(folder: Path) -> EpisodePolicy:
    """Reads what ``write_episode_policy`` wrote. Raises CheckpointError for anything else."""
    try:
        config, arrays = json.loads((folder / CONFIG_FILE).read_bytes()), load_file(folder / ACTIONS_FILE)
        episode = RecordedEpisode(
            actions=arrays["actions"],
            joints=tuple(map(str, config["joints"])),
            fps=float(config["fps"]),
            task=str(config["task"]),
            approach_speed=arrays["approach_speed"],
            approach_rows=int(config["approach_rows"]),
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: the recorded episode cannot be read: {error!r}") from error
    shapes = episode.actions.shape, episode.approach_speed.shape
    joints = len(episode.joints)
    if len(shapes[0]) != 2 or not shapes[0][0] or shapes != ((shapes[0][0], joints), (joints,)):
        raise CheckpointError(f"{folder}: {joints} joints, but actions and speeds have shapes {shapes}")
    if not (np.isfinite(episode.actions).all() and (episode.approach_speed > 0.0).all()):
        raise CheckpointError(f"{folder}: expected finite actions and speeds above 0")
    return EpisodePolicy(episode)
