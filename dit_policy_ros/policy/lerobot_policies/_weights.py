# SPDX-License-Identifier: Apache-2.0
"""Builds a LeRobot policy and checks that its weights are those of the file.

LeRobot logs missing and unknown tensors and goes on; some of its types even catch the error of a file that
does not fit, and return random weights. So the network is compared with the file afterwards.
"""

import contextlib
import io
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from lerobot.policies.factory import get_policy_class
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.policies.smolvla import smolvlm_with_expert
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint import FORMATS, WEIGHTS_FILE, check_finite_weights
from dit_policy_ros.policy.config import lfs_hint
from dit_policy_ros.policy.lerobot_policies._compatibility import version_hint
from dit_policy_ros.policy.lerobot_policies._config import ForeignConfig

_SHOWN = 5
_NO_WEIGHTS = ("position_ids",)  # what older versions of transformers stored
_NORMALISER = ("normalize_inputs.", "normalize_targets.", "unnormalize_outputs.")

logger = logging.getLogger(__name__)


def build_policy(folder: Path, config: ForeignConfig) -> PreTrainedPolicy:
    """Build the network with the checkpoint's weights, in evaluation mode; torch's generator does not change.

    Raises:
        CheckpointError: a package, a file of another model or a tensor is missing or does not fit.
    """
    path = folder / WEIGHTS_FILE
    stored = read_weights(path)
    try:
        with torch.random.fork_rng(devices=[]), safe_loading(), without_first_weights():
            policy = get_policy_class(config.kind).from_pretrained(folder, config=config.options)
    except ImportError as error:
        raise CheckpointError(
            f"{config.source}: LeRobot's {config.kind!r} needs a package: {error}"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:
        # Whatever LeRobot and transformers stumble over comes as any kind of error.
        raise CheckpointError(
            f"{folder}: LeRobot cannot build its {config.kind!r} from config.json and {WEIGHTS_FILE}: "
            f"{type(error).__name__}: {error}{_hub_hint(config)}{version_hint()}"
        ) from error
    check_weights(policy.state_dict(keep_vars=True), stored, path)
    return policy.to(config.options.device).eval().requires_grad_(False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the file; CheckpointError if it is damaged, or a weight is not finite or of no number format."""
    try:
        stored = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot read the weights: {error}{lfs_hint(path)}") from error
    if any(name.startswith(_NORMALISER) for name in stored):
        raise CheckpointError(
            f"{path}: the statistics are among the weights, as LeRobot wrote them before it had processors. "
            f"Convert the checkpoint: python -m lerobot.processor.migrate_policy_normalization "
            f"--pretrained-path {path.parent}"
        )
    check_finite_weights(stored, path)
    return stored


def check_weights(network: Mapping[str, Tensor], stored: Mapping[str, Tensor], path: Path) -> None:
    """Raise CheckpointError unless the network has the values of the file, and all of them.

    Types rename some tensors while they load. Such a tensor is recognised by its values.

    Args:
        network: the tensors of the policy by name; of shared tensors only one is in the file.
        stored: the tensors of the file by name.
        path: of the file, for messages.
    """
    aliases: dict[tuple[int, Any], list[str]] = defaultdict(list)
    for name, tensor in network.items():
        aliases[tensor.data_ptr() if tensor.numel() else id(tensor), tuple(tensor.shape)].append(name)
    same = {name: names for names in aliases.values() for name in names}
    missing = [n for n in network if not any(other in stored for other in same[n])]
    unknown = [n for n in stored if n not in network and not n.endswith(_NO_WEIGHTS)]
    problems = []
    for name, tensor in stored.items():
        if name not in network:
            continue
        expected = network[name]
        if tensor.shape != expected.shape:
            problems.append(f"{name}: expected shape {tuple(expected.shape)}, got {tuple(tensor.shape)}")
        elif expected.is_floating_point() and tensor.dtype not in FORMATS:
            problems.append(f"{name}: expected one of {', '.join(map(str, FORMATS))}, got {tensor.dtype}")
        elif not _equal(expected, tensor):
            problems.append(f"{name}: LeRobot did not load it")
    renamed = {n: [other for other in unknown if _equal(network[n], stored[other])] for n in missing}
    problems += [f"missing tensor {name}" for name, found in renamed.items() if not found]
    used = {other for found in renamed.values() for other in found}
    extra = [n for n in unknown if n not in used and not any(_equal(t, stored[n]) for t in network.values())]
    problems += [f"unknown tensor {name}" for name in extra]
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointError(f"{path} does not fit its config.json: {'; '.join(problems[:_SHOWN])}{more}")


def _equal(network: Tensor, stored: Tensor) -> bool:
    """Whether a tensor of the network is one of the file, in the network's number format."""
    if network.shape != stored.shape:
        return False
    return torch.equal(network.detach().to("cpu"), stored.to(network.dtype))


@contextlib.contextmanager
def safe_loading() -> Iterator[None]:
    """Load nothing that is pickled, and let LeRobot print to the log."""

    def refuse(*_: Any, **__: Any) -> None:
        raise CheckpointError(
            "a file of pickled weights was about to be loaded, which can run any code; expected safetensors"
        )

    printed = io.StringIO()
    try:
        with patch.object(torch, "load", refuse), contextlib.redirect_stdout(printed):
            yield
    finally:
        for line in filter(None, printed.getvalue().splitlines()):
            logger.debug("LeRobot: %s", line)


@contextlib.contextmanager
def without_first_weights() -> Iterator[None]:
    """Let LeRobot build smolvla without the weights that its training began with.

    The checkpoint replaces them. They would be downloaded, 1 GB, and only their number format matters.
    """

    class FromArchitecture:
        @staticmethod
        def from_pretrained(name: str, torch_dtype: str, **_: Any) -> Any:
            dtype = getattr(torch, torch_dtype)
            return AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(name), dtype=dtype)

    with patch.object(smolvlm_with_expert, "AutoModelForImageTextToText", FromArchitecture):
        yield


def _hub_hint(config: ForeignConfig) -> str:
    named = [
        f"{name} {getattr(config.options, name)!r}"
        for name in config.options.__dataclass_fields__
        if name.endswith(("model_name", "model_path", "vlm_base", "encoder_name", "tokenizer_name"))
    ]
    if not named:
        return ""
    return (
        f". It reads the architecture and the tokenizer of {', '.join(named)} from a folder, the cache or "
        f"the hub: load it once on a machine with internet access, or name a folder in config.json"
    )
