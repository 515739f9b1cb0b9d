# SPDX-License-Identifier: Apache-2.0
"""Shards a policy and its moving average over the processes of a run.

torch's fully_shard (FSDP2): a process holds 1/N of each weight, its gradient and its optimiser state. A
block's weights are whole only while the block computes. Zhao et al. 2023, arXiv 2304.11277; Rajbhandari et
al. 2020 (ZeRO stage 3), arXiv 1910.02054.
"""

import copy
from collections.abc import Iterator

import torch
import torch.distributed
from accelerate import Accelerator
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.sharding._tensors import gather

_FURTHER_FORWARDS = ("encode_images", "predict")
"""Methods of the policy that read weights and are called from outside, beside ``forward``."""


class Sharding:
    """How one run's networks are cut. Every process makes it and calls its methods in the same order."""

    def __init__(self, policy: DiTPolicy, accelerator: Accelerator) -> None:
        """Give all processes the main process's weights, as DDP does; ``policy`` is not cut yet."""
        self._accelerator = accelerator
        self._mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        with torch.no_grad():
            for tensor in (*policy.parameters(), *policy.buffers()):
                shared = tensor.detach().to(accelerator.device)
                torch.distributed.broadcast(shared, src=0)
                tensor.copy_(shared)
        # Buffers are copied, weights are left out: the form of a checkpoint's network.
        empty = {id(each): nn.Parameter(each.to("meta"), each.requires_grad) for each in policy.parameters()}
        self._form = copy.deepcopy(policy, empty)

    def shard(self, policy: DiTPolicy, average: DiTPolicy) -> None:
        """Cut a policy and its moving average, in place, and move them to the device.

        They are moved one block at a time, so the device never holds a whole network. Weights that do not
        need a gradient are shared afterwards, as far as torch needs no padding for them.
        """
        for network in (policy, average):
            for part in _parts(network):
                fully_shard(part, mesh=self._mesh, reshard_after_forward=True)
            for name in _FURTHER_FORWARDS:
                register_fsdp_forward_method(network, name)
        frozen = {name: each for name, each in policy.named_parameters() if not each.requires_grad}
        average.load_state_dict(frozen, strict=False, assign=True)

    def whole(self, network: DiTPolicy) -> DiTPolicy:
        """A whole copy of a sharded network on the CPU, in the main process.

        In the others it has no weights. Every process must call it.
        """
        is_main = self._accelerator.is_main_process
        state = gather(network.state_dict(), is_main)
        copied = copy.deepcopy(self._form)
        if is_main:
            copied.load_state_dict({name: each.cpu() for name, each in state.items()}, assign=True)
        return copied.eval()


def _parts(network: DiTPolicy) -> Iterator[nn.Module]:
    """What is gathered together, from the inside to the outside.

    The frozen text encoder is a part of its own, because no step needs it: instructions are encoded once.
    """
    encoder = network.observation_encoder
    visions = [each for each in (encoder.vision_encoder, *(encoder.vision_encoders or ())) if each]
    for module in (network.noise_predictor.transformer_blocks, *visions):
        for repeated in [each for each in module.modules() if isinstance(each, nn.ModuleList)]:
            yield from repeated
    yield from visions
    yield encoder.text_encoder.text_encoder
    yield network
