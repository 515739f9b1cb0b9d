# SPDX-License-Identifier: Apache-2.0
"""Parameters of the policy node that say how it infers; docs/inference.md explains them."""

from collections.abc import Mapping
from typing import Any

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.motion import Pacing
from dit_policy_ros.core.policy_interface import BACKENDS, DTYPES
from dit_policy_ros.ros.common import Parameter


def _parameter(name: str, kind: type, default: Any, description: str, **more: Any) -> Parameter:
    return Parameter(name, kind, default, description, read_only=True, **more)


INFERENCE_PARAMETERS = (
    _parameter("device", str, "auto", "where to infer: auto, cpu, cuda or cuda:<n>"),
    _parameter(
        "num_threads",
        int,
        1,
        "CPU threads of inference; leave a core to the control timer and the streams",
        unit="threads",
        low=1,
        high=256,
    ),
    _parameter(
        "backend",
        str,
        "auto",
        "how the networks run; auto: the fastest that needs no compiler",
        choices=BACKENDS,
    ),
    _parameter("dtype", str, "float32", "number format; the others need the hardware for it", choices=DTYPES),
    _parameter(
        "num_inference_steps", int, 0, "denoising or integration steps; 0: the checkpoint's", low=0, high=1000
    ),
    _parameter(
        "max_latency",
        float,
        0.0,
        "take as many steps, up to num_inference_steps, as fit into this (p95, measured); 0: all",
        unit="s",
        low=0.0,
        high=10.0,
    ),
    _parameter(
        "guidance_scale", float, 1.0, "weight of the instruction; 1: no guidance, no cost", low=0.0, high=20.0
    ),
    _parameter(
        "warm_start",
        int,
        0,
        "steps to take from the previous chunk instead of all of them from noise; 0: off",
        low=0,
        high=1000,
    ),
    _parameter("real_time_chunking", bool, False, "sample each chunk to agree with what is being executed"),
    _parameter(
        "block_cache", bool, False, "compute some blocks less often, as `dit_policy block_cache` found out"
    ),
    _parameter(
        "encode_on_arrival",
        bool,
        False,
        "read frames between chunks, as they come; for a GPU, or a replan_interval that leaves the time",
    ),
    _parameter(
        "warm_up_chunks", int, 12, "inferences before the latency is judged", unit="chunks", low=3, high=1000
    ),
)


def policy_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What ``load_policy`` is given.

    Raises:
        ParameterError: an option that needs a motion under way, with arms that stop for each observation.
    """
    if settings["pacing"] == Pacing.STOP_AND_GO:
        for name in ("warm_start", "real_time_chunking"):
            if settings[name]:
                raise ParameterError(
                    f"{name} is {settings[name]}, but with pacing {Pacing.STOP_AND_GO.value} nothing is "
                    f"executed while a chunk is inferred; switch one of them off"
                )
    names = (
        "device",
        "num_threads",
        "backend",
        "dtype",
        "guidance_scale",
        "warm_start",
        "real_time_chunking",
        "block_cache",
    )
    options: dict[str, Any] = {name: settings[name] for name in names}
    if settings["num_inference_steps"]:
        options["sampling_steps"] = settings["num_inference_steps"]
    return options
