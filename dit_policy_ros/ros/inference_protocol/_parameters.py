# SPDX-License-Identifier: Apache-2.0
"""The parameters of inference. The policy node passes them to an inference node that it starts."""

from collections.abc import Mapping
from typing import Any

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.motion import Pacing
from dit_policy_ros.core.policy_interface import BACKENDS, DTYPES, UNSEEN_STATES
from dit_policy_ros.ros.common import Parameter


def parameter(name: str, kind: type, default: Any, description: str, **more: Any) -> Parameter:
    """A parameter that is fixed unless said otherwise, so that an incident replays as it happened."""
    options: dict[str, Any] = {"fixed": True, **more}
    return Parameter(name, kind, default, description, **options)


INFERENCE_PARAMETERS = (  # docs/inference.md explains them
    parameter("checkpoint", str, "", "folder of the checkpoint (LeRobot's multi_task_dit format)"),
    parameter(
        "assume_fps",
        float,
        0.0,
        "rate of the training data, for a checkpoint that does not state it (LeRobot's do not); 0: none. "
        "Under another rate the robot would move faster or slower than demonstrated",
        unit="Hz",
        low=0.0,
        high=1000.0,
    ),
    parameter(
        "assume_joints",
        tuple,
        ("",),
        "joints of the entries of state and action in the order of the training data, for a checkpoint that "
        "does not name them",
    ),
    parameter("device", str, "auto", "where inference runs: auto, cpu, cuda or cuda:<n>"),
    parameter(
        "num_threads",
        int,
        1,
        "CPU threads of inference; leave a core for the control timer and the sensor streams",
        unit="threads",
        low=1,
        high=256,
    ),
    parameter(
        "backend",
        str,
        "auto",
        "how the networks run; auto: the fastest that needs no compiler",
        choices=BACKENDS,
    ),
    parameter(
        "dtype",
        str,
        "float32",
        "number format of the networks; bfloat16 and float16 need hardware support",
        choices=DTYPES,
    ),
    parameter(
        "num_inference_steps",
        int,
        0,
        "denoising or integration steps per chunk; 0: as many as the checkpoint says",
        low=0,
        high=1000,
        former_name="inference_steps",
    ),
    parameter(
        "max_latency",
        float,
        0.0,
        "at configure, reduce the steps until a chunk takes at most this long (p95, measured); 0: do not",
        unit="s",
        low=0.0,
        high=10.0,
    ),
    parameter(
        "guidance_scale",
        float,
        1.0,
        "weight of the instruction (classifier-free guidance); 1: no guidance, no cost",
        low=0.0,
        high=20.0,
    ),
    parameter(
        "warm_start",
        int,
        0,
        "start sampling from the previous chunk and take only this many steps; 0: start from noise",
        low=0,
        high=1000,
    ),
    parameter(
        "real_time_chunking",
        bool,
        False,
        "sample each chunk so that it continues the motion being executed",
        former_name="chunk_continuity",
    ),
    parameter(
        "block_cache",
        bool,
        False,
        "compute some blocks of the network less often, as measured by `dit_policy block_cache`",
    ),
    parameter(
        "unseen_state",
        str,
        "hold",
        "when a joint is far outside the range of the training data; hold: HOLD; limit: go on with the "
        "nearest state that is known. Nearer to the range it is limited in both cases, and reported",
        choices=UNSEEN_STATES,
    ),
    parameter(
        "encode_on_arrival",
        bool,
        False,
        "encode each frame when it arrives, not when a chunk is due; for a GPU or a long replan_interval",
    ),
    parameter(
        "warm_up_chunks",
        int,
        12,
        "inferences at configure, from which the latency is measured",
        unit="chunks",
        low=3,
        high=1000,
    ),
    parameter(
        "frozen_after",
        float,
        2.0,
        "HOLD if a camera's image stays the same for this long while all arms move; 0: never",
        unit="s",
        low=0.0,
        high=60.0,
    ),
    parameter(
        "incident_seconds",
        float,
        10.0,
        "how many seconds of observations, chunks and commands are kept in memory, to be written to disk on "
        "HOLD, e-stop and ~/save_incident; 3 cameras at 320x240 take 14 MB per second; 0: off",
        unit="s",
        low=0.0,
        high=600.0,
    ),
    parameter(
        "incident_directory",
        str,
        "",
        "folder for incidents; empty: dit_policy_incidents in $ROS_HOME (~/.ros)",
    ),
)

_POLICY_OPTIONS = (
    "device",
    "num_threads",
    "backend",
    "dtype",
    "guidance_scale",
    "warm_start",
    "real_time_chunking",
    "block_cache",
    "unseen_state",
    "assume_fps",
)


def policy_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of ``load_policy``.

    Raises:
        ParameterError: an option that samples a chunk from the one being executed, with pacing stop_and_go.
    """
    if settings.get("pacing") == Pacing.STOP_AND_GO:  # the inference node does not know the pacing
        for name in ("warm_start", "real_time_chunking"):
            if settings[name]:
                raise ParameterError(
                    f"{name} is {settings[name]}, but with pacing {Pacing.STOP_AND_GO.value} nothing is "
                    f"executed while a chunk is inferred: switch {name} off, or set pacing to "
                    f"{Pacing.CONTINUOUS.value}"
                )
    options: dict[str, Any] = {name: settings[name] for name in _POLICY_OPTIONS}
    options["assume_joints"] = tuple(name for name in settings["assume_joints"] if name)
    if settings["num_inference_steps"]:
        options["sampling_steps"] = settings["num_inference_steps"]
    return options
