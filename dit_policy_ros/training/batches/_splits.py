# SPDX-License-Identifier: Apache-2.0
"""Which frames are trained on, and which episodes are held out.

Shapes: M frames of all episodes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.training.errors import TrainingError


def start_mask(data: Demonstrations, drop_last: int, stride: int = 1) -> NDArray[np.bool_]:
    """Frames (M,) that may start an example: all but the last ``drop_last`` of an episode, as in LeRobot.

    Where the instruction changes, the chunk ends as at an episode's end. Of an episode's frames only every
    ``stride``-th one starts an example, the first one included.
    """
    _, last = data.instruction_bounds()
    first, _ = data.episode_bounds()
    frames = np.arange(len(last))
    return (frames + drop_last <= last) & ((frames - first) % stride == 0)


def unflagged_mask(data: Demonstrations, steps: int, image_steps: int) -> NDArray[np.bool_]:
    """Frames (M,) whose history has no flagged frame.

    Args:
        data: the demonstrations; their flags come from the recorder.
        steps: length of the history of states, the frame itself included.
        image_steps: length of the history of images.
    """
    first, _ = data.episode_bounds()
    is_good = np.ones(len(first), bool)
    for flagged, count in ((data.flagged, steps), (data.flagged_images, image_steps)):
        if flagged is not None:
            frames = np.arange(len(first))
            for back in range(count):
                is_good &= ~flagged[np.maximum(frames - back, first)]
    return is_good


def overruled_mask(data: Demonstrations) -> NDArray[np.bool_]:
    """Frames (M,) of a policy from which a person took over later in the same episode.

    They led to what the person had to correct: a policy that stood still for five seconds shows 150 times how
    to stand still, and the person shows once how to go on.
    """
    if data.corrected is None:
        return np.zeros(len(data.state), bool)
    _, last = data.episode_bounds()
    later = np.cumsum(data.corrected[::-1])[::-1]  # corrected frames from each one on
    after = np.append(later, 0)[last + 1]  # those after the episode
    return ~data.corrected & (later > after)


def held_out_mask(
    data: Demonstrations, share: float, seed: int, excluded: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Frames (M,) held out for validation: whole episodes, a ``share`` of each task's.

    excluded: (M,) frames that are neither trained on nor scored; episodes without others do not count.

    Of a task with several episodes at least one is held out and one is trained on; a single episode is
    trained on.
    """
    mask = np.zeros(len(data.state), bool)
    if share == 0:
        return mask
    rng = np.random.default_rng((seed, 2))
    starts = np.flatnonzero(np.diff(data.episode_index, prepend=-1))
    if excluded is not None:
        starts = starts[np.logical_or.reduceat(~excluded, starts)]
    episodes, tasks = data.episode_index[starts], data.task_index[starts]
    for task in np.unique(tasks):
        candidates = rng.permutation(episodes[tasks == task])
        count = min(max(1, round(share * len(candidates))), len(candidates) - 1)
        mask |= np.isin(data.episode_index, candidates[:count])
    return mask if excluded is None else mask & ~excluded


@dataclass(frozen=True, slots=True)
class Split:
    """What becomes of frames (M,), bool each.

    failed: of episodes that the operator labelled failures. overruled: of a policy from which a person took
    over. good: not flagged by the recorder, nor is what the frame observes. held_out: scored, and not trained
    on.
    """

    failed: NDArray[np.bool_]
    overruled: NDArray[np.bool_]
    good: NDArray[np.bool_]
    held_out: NDArray[np.bool_]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """The frames (M,) that may be trained on."""
        return self.good & ~self.failed & ~self.overruled & ~self.held_out


def split_frames(
    data: Demonstrations,
    validation: float,
    seed: int,
    *,
    steps: int,
    image_steps: int,
    use_failures: bool = False,
    use_flagged: bool = False,
    use_overruled: bool = False,
) -> Split:
    """Split demonstrations into what is trained on, what is held out, and what is neither.

    Args:
        data: the demonstrations.
        validation, seed: share of each task's episodes that is held out, and which.
        steps, image_steps: as of ``unflagged_mask``.
        use_failures: use episodes that the operator labelled failures.
        use_flagged: use what the recorder flagged.
        use_overruled: use what a policy did before a person took over from it.
    """
    failed = np.zeros(len(data.state), bool)  # (M,)
    if data.failed is not None and not use_failures:
        failed = data.failed
    overruled = np.zeros_like(failed) if use_overruled else overruled_mask(data)
    good = np.ones_like(failed) if use_flagged else unflagged_mask(data, steps, image_steps)
    return Split(failed, overruled, good, held_out_mask(data, validation, seed, failed | overruled | ~good))


def task_mask(data: Demonstrations, tasks: tuple[str, ...]) -> NDArray[np.bool_]:
    """Frames (M,) that demonstrate one of ``tasks``; all frames if ``tasks`` is empty."""
    if not tasks:
        return np.ones(len(data.state), bool)
    return np.isin(data.task_index, [task_number(data, task) for task in tasks])


def task_number(data: Demonstrations, task: str) -> int:
    """A task's index; TrainingError lists the valid tasks if there is no such task."""
    if task not in data.tasks:
        known = "\n  ".join(data.tasks)
        raise TrainingError(f"no demonstration of {task!r}; the datasets' tasks:\n  {known}")
    return data.tasks.index(task)
