# SPDX-License-Identifier: Apache-2.0
"""Renders the stills of the recipe ``cube_tasks`` by several processes, into memory-mapped files."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from dit_policy_ros.data.video import resize_images
from dit_policy_ros.sim.robot import CAMERAS, BimanualSim
from dit_policy_ros.sim.stills import VIEW, Stills, random_stills
from dit_policy_ros.sim.tasks import suite
from dit_policy_ros.training.new_policy import IMAGE_SIDE, RESIZED
from dit_policy_ros.training.recipes._stage_progress import progress_bar

_PART = 250  # stills that a worker renders at once


def render_stills(work: Path, count: int, seed: int, workers: int) -> Stills:
    """Stills in random order, cropped as the policy crops them; the last ones are later held out.

    The stills are the same for any number of workers. Images stay on the disk, the rest is read into memory.
    """
    folder, done = work / "stills", work / "stills.done"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for name, (shape, dtype) in _shapes(count).items():
            open_memmap(folder / f"{name}.npy", "w+", dtype, shape).flush()
        rows = np.random.default_rng(seed).permutation(count)
        parts = [(folder, rows[i : i + _PART], seed * 10_000 + i) for i in range(0, count, _PART)]
        context = multiprocessing.get_context("spawn")  # a forked OpenGL context does not work
        with progress_bar() as bar, ProcessPoolExecutor(workers, mp_context=context) as pool:
            line = bar.add_task("stills", total=count, note="")
            for rendered in pool.map(_render_part, parts):
                bar.update(line, advance=rendered)
        done.write_text(f"{count} stills\n")
    stored = {each.name: np.load(folder / f"{each.name}.npy", mmap_mode="r") for each in fields(Stills)}
    return Stills(**{name: data if name == "images" else np.array(data) for name, data in stored.items()})


def _shapes(count: int) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and dtype of each field of ``Stills``."""
    side, f32 = IMAGE_SIDE, np.float32
    return {
        "images": ((count, len(CAMERAS), side, side, 3), np.uint8),
        "cubes": ((count, 3, 3), f32),
        "state": ((count, 14), f32),
        "tcps": ((count, 2, 3), f32),
        "task": ((count,), np.int64),
        "way": ((count, 6), f32),
        "views": ((count, 2, 3, VIEW), f32),
    }


def _render_part(part: tuple[Path, np.ndarray, int]) -> int:
    """Render stills into rows of the arrays in a folder; returns their number."""
    folder, rows, seed = part
    torch.set_num_threads(1)
    stored = Stills(**{each.name: np.load(folder / f"{each.name}.npy", "r+") for each in fields(Stills)})
    margin, tasks = (RESIZED[1] - IMAGE_SIDE) // 2, suite()
    with BimanualSim(seed) as sim:
        for i, still in zip(rows, random_stills(sim, len(rows), seed), strict=True):
            scene = still.scene
            images = np.stack([scene.images[camera] for camera in CAMERAS])  # (N, H, W, 3)
            stored.images[i] = resize_images(images, RESIZED)[:, :, margin : margin + IMAGE_SIDE]
            stored.cubes[i], stored.state[i], stored.tcps[i] = scene.cubes, scene.state, scene.tcps
            stored.task[i], stored.way[i], stored.views[i] = tasks.index(still.task), still.way, still.views
    return len(rows)
