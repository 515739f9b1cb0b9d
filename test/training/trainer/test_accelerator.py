# SPDX-License-Identifier: Apache-2.0
"""The device and precision of a run."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.trainer import make_accelerator


def test_every_run_of_a_process_has_its_own_precision() -> None:
    for precision in ("no", "bf16", "no"):
        accelerator = make_accelerator(TrainConfig(mixed_precision=precision, device="cpu"))
        assert accelerator.mixed_precision == precision


def test_without_the_private_reset_another_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    make_accelerator(TrainConfig(mixed_precision="no", device="cpu"))
    monkeypatch.delattr(AcceleratorState, "_reset_state")
    assert make_accelerator(TrainConfig(mixed_precision="no", device="cpu")).mixed_precision == "no"
    with pytest.raises(TrainingError, match=r"mixed_precision 'bf16': .*already been initialized"):
        make_accelerator(TrainConfig(mixed_precision="bf16", device="cpu"))


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(TrainingError, match="mixed_precision 'fp16': expected a GPU, got the CPU"):
        make_accelerator(TrainConfig(mixed_precision="fp16", device="cpu"))


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(CheckpointError, match=r"device: got 'cuda:1', but .* sees 0 CUDA device"):
        make_accelerator(TrainConfig(device="cuda:1"))


def test_several_processes_choose_their_gpus_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(Accelerator, "__init__", lambda self, **settings: None)
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    with pytest.raises(TrainingError, match="expected 'auto', 'cpu' or 'cuda' with 2 processes"):
        make_accelerator(TrainConfig(device="cuda:1"))
    assert used == [torch.device("cuda", 1)]


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_accelerates_own_splitting_is_refused_with_what_helps(
    monkeypatch: pytest.MonkeyPatch, kind: DistributedType
) -> None:
    monkeypatch.setattr(Accelerator, "distributed_type", kind)
    with pytest.raises(
        TrainingError, match=rf"started with {kind.value}, .*--multi_gpu.*--shard.*--accumulate"
    ):
        make_accelerator(TrainConfig(device="cpu"))
