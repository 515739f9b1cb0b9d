# SPDX-License-Identifier: Apache-2.0
"""The state of a training run on disk: everything that continues it bit for bit.

network.safetensors  average.safetensors  optimizer.safetensors
state.json                     options of the optimiser, learning-rate schedule, loss scale
random_0.safetensors, ...      random generators of each process
random_0.json, ...

safetensors and JSON only: accelerate's own format is pickled in part, and reading somebody's pickle runs
their code.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dit_policy_ros.policy.config import read_json
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.sharding import distribute_like, gather

STATE_FILE = "state.json"
_PICKLED = ("*.pkl", "*.bin", "*.pt", "*.pth")


@dataclass(frozen=True, slots=True)
class TrainingState:
    """What is stored of a run.

    Attributes:
        network: the trained network.
        average: its moving average.
        optimizer: of the network.
        schedule: of the learning rate.
        scaler: of the loss in fp16; None in other precisions.
        process: number of this process.
    """

    network: nn.Module
    average: nn.Module
    optimizer: Any  # accelerate's wrapper of torch's
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: Any | None
    process: int

    def gather(self, is_main: bool) -> Callable[[Path], None]:
        """Gather the state; the function that this returns writes it into a folder.

        Every process must call this, as sharded tensors are made whole. The function writes this process's
        part, in the main process also what all have in common, and does not communicate.
        """
        optimizer = self.optimizer.state_dict()
        tensors, numbers = {}, {}
        for parameter, values in optimizer["state"].items():
            for name, value in values.items():
                place = tensors if isinstance(value, Tensor) else numbers
                place[f"{parameter}.{name}"] = value
        files = {
            "network": gather(self.network.state_dict(), is_main),
            "average": gather(self.average.state_dict(), is_main),
            "optimizer": gather(tensors, is_main),
        }
        common = {
            "optimizer": {"numbers": numbers, "groups": optimizer["param_groups"]},
            "schedule": self.schedule.state_dict(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
        }

        def write(folder: Path) -> None:
            _save_random(folder, self.process)
            if not is_main:
                return
            for name, state in files.items():
                _save_tensors(folder / f"{name}.safetensors", state)
            (folder / STATE_FILE).write_text(json.dumps(common))

        return write

    def load(self, folder: Path) -> None:
        """Continue from what ``gather`` wrote.

        Raises:
            TrainingError: an earlier version wrote it.
            OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError, CheckpointError: a file
                is missing or damaged.
        """
        if not (folder / STATE_FILE).is_file() and any(list(folder.glob(kind)) for kind in _PICKLED):
            raise TrainingError(
                f"{folder}: cannot resume: this state was written by an earlier version, as pickled files, "
                f"which can run any code when they are read. Start a new run from its policy: --init "
                f"{folder.parent / 'pretrained_model'}"
            )
        common = read_json(folder / STATE_FILE)
        network = _read_parts(folder / "network.safetensors", self.network.state_dict().get)
        average = _read_parts(folder / "average.safetensors", self.average.state_dict().get)
        state: dict[int, dict[str, Any]] = {}
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        tensors = _read_parts(
            folder / "optimizer.safetensors", lambda key: weights[int(key.partition(".")[0])]
        )
        for key, value in (*tensors.items(), *common["optimizer"]["numbers"].items()):
            parameter, _, name = key.partition(".")
            state.setdefault(int(parameter), {})[name] = value
        schedule = common["schedule"]
        if set(schedule) != set(self.schedule.state_dict()):
            raise ValueError(f"the schedule's state has the entries {', '.join(sorted(schedule))}")
        if self.scaler is not None and common["scaler"] is None:
            raise ValueError("the state of the loss scale is missing")
        self.network.load_state_dict(network)
        self.average.load_state_dict(average)
        self.optimizer.load_state_dict({"state": state, "param_groups": common["optimizer"]["groups"]})
        self.schedule.load_state_dict(schedule)
        if self.scaler is not None:
            self.scaler.load_state_dict(common["scaler"])
        _load_random(folder, self.process)


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    copies, places = dict[str, Tensor](), set[int]()
    for name, tensor in tensors.items():
        copy = tensor.detach().to("cpu").contiguous()
        place = copy.untyped_storage().data_ptr()
        copies[name] = copy.clone() if place in places else copy  # safetensors refuses shared memory
        places.add(place)
    save_file(copies, path, metadata={"format": "pt"})


def _read_parts(path: Path, counterpart: Callable[[str], object]) -> dict[str, Tensor]:
    """The tensors of a file, each cut as its counterpart; one whole tensor at a time is in memory."""
    with safe_open(path, framework="pt") as file:
        return {key: distribute_like(file.get_tensor(key), counterpart(key)) for key in file.keys()}  # noqa: SIM118


def _save_random(folder: Path, process: int) -> None:
    """The generators of Python, numpy and torch, which are global."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64))}
    if torch.cuda.is_available():
        tensors |= {f"cuda_{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    save_file(tensors, folder / f"random_{process}.safetensors")
    version, numbers, gauss_next = random.getstate()
    values = {
        "numpy": [int(position), int(has_gauss), float(gauss)],
        "python": [version, list(numbers), gauss_next],
    }
    (folder / f"random_{process}.json").write_text(json.dumps(values))


def _load_random(folder: Path, process: int) -> None:
    tensors = load_file(folder / f"random_{process}.safetensors")
    values = read_json(folder / f"random_{process}.json")
    position, has_gauss, gauss = values["numpy"]
    version, numbers, gauss_next = values["python"]
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gauss, gauss))
    random.setstate((version, tuple(numbers), gauss_next))
    torch.set_rng_state(tensors["torch"])
    devices = sorted((key for key in tensors if key.startswith("cuda_")), key=lambda key: int(key[5:]))
    if devices and torch.cuda.device_count() == len(devices):
        torch.cuda.set_rng_state_all([tensors[key] for key in devices])
