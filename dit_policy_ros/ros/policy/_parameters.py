# SPDX-License-Identifier: Apache-2.0
"""The table of the policy node's parameters. `_settings` says what they mean for the node's parts."""

from typing import Any

from dit_policy_ros.core.motion import EnsembleMode, Pacing
from dit_policy_ros.core.policy_interface import BACKENDS, DTYPES
from dit_policy_ros.ros.common import Parameter

_MODES = tuple(mode.value for mode in EnsembleMode)
_PACINGS = tuple(pacing.value for pacing in Pacing)
_COUPLINGS = ("all", "controller", "none")


def _parameter(name: str, kind: type, default: Any, description: str, **more: Any) -> Parameter:
    """A parameter that is fixed unless said otherwise, so that an incident replays as it happened."""
    options: dict[str, Any] = {"fixed": True, **more}
    return Parameter(name, kind, default, description, **options)


_INFERENCE = (  # docs/inference.md explains them
    _parameter("device", str, "auto", "where inference runs: auto, cpu, cuda or cuda:<n>"),
    _parameter(
        "num_threads",
        int,
        1,
        "CPU threads of inference; leave a core for the control timer and the sensor streams",
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
    _parameter(
        "dtype",
        str,
        "float32",
        "number format of the networks; bfloat16 and float16 need hardware support",
        choices=DTYPES,
    ),
    _parameter(
        "num_inference_steps",
        int,
        0,
        "denoising or integration steps per chunk; 0: as many as the checkpoint says",
        low=0,
        high=1000,
        former_name="inference_steps",
    ),
    _parameter(
        "max_latency",
        float,
        0.0,
        "at configure, reduce the steps until a chunk takes at most this long (p95, measured); 0: do not",
        unit="s",
        low=0.0,
        high=10.0,
    ),
    _parameter(
        "guidance_scale",
        float,
        1.0,
        "weight of the instruction (classifier-free guidance); 1: no guidance, no cost",
        low=0.0,
        high=20.0,
    ),
    _parameter(
        "warm_start",
        int,
        0,
        "start sampling from the previous chunk and take only this many steps; 0: start from noise",
        low=0,
        high=1000,
    ),
    _parameter(
        "real_time_chunking",
        bool,
        False,
        "sample each chunk so that it continues the motion being executed",
        former_name="chunk_continuity",
    ),
    _parameter(
        "block_cache",
        bool,
        False,
        "compute some blocks of the network less often, as measured by `dit_policy block_cache`",
    ),
    _parameter(
        "encode_on_arrival",
        bool,
        False,
        "encode each frame when it arrives, not when a chunk is due; for a GPU or a long replan_interval",
    ),
    _parameter(
        "warm_up_chunks",
        int,
        12,
        "inferences at configure, from which the latency is measured",
        unit="chunks",
        low=3,
        high=1000,
    ),
)

POLICY_PARAMETERS = (
    _parameter("checkpoint", str, "", "folder of the checkpoint (LeRobot's multi_task_dit format)"),
    *_INFERENCE,
    _parameter("task", str, "", "the first instruction; ~/set_task changes it"),
    _parameter(
        "control_rate",
        float,
        50.0,
        "rate at which streams, controllers and plans are checked",
        unit="Hz",
        low=5.0,
        high=1000.0,
    ),
    _parameter(
        "replan_interval",
        float,
        0.1,
        "time between the observations of two inferences, to the nearest period of the policy",
        unit="s",
        low=0.0,
        high=10.0,
    ),
    _parameter(
        "pacing",
        str,
        Pacing.CONTINUOUS.value,
        "continuous: infer while moving; stop_and_go: observe at rest, infer, move, stop",
        choices=_PACINGS,
    ),
    _parameter(
        "velocity_scale",
        float,
        1.0,
        "fraction of the velocity limits that is used; below 1 for first trials",
        low=0.01,
        high=1.0,
        fixed=False,
    ),
    _parameter(
        "plan_horizon",
        float,
        0.5,
        "length of a plan, and so how long the arms can still move after this node has died",
        unit="s",
        low=0.1,
        high=5.0,
        former_name="max_blind_time",
    ),
    _parameter(
        "soft_start",
        float,
        1.0,
        "time over which the first motion after standing is blended in",
        unit="s",
        low=0.0,
        high=10.0,
    ),
    _parameter(
        "task_fade",
        float,
        0.0,
        "time over which the motion of a new task is blended in; 0: drop the previous task at once",
        unit="s",
        low=0.0,
        high=5.0,
    ),
    _parameter(
        "fade_knots",
        int,
        5,
        "knots of a plan over which a new chunk is blended in",
        unit="knots",
        low=0,
        high=100,
    ),
    _parameter(
        "max_tracking_error",
        float,
        0.5,
        "HOLD if an arm joint is further than this from its command; it then holds where it is",
        unit="rad",
        low=0.01,
        high=10.0,
    ),
    _parameter(
        "stream_timeout",
        float,
        5.0,
        "how long activation waits for streams and controllers",
        unit="s",
        low=0.0,
        high=600.0,
        fixed=False,
    ),
    _parameter(
        "recovery_time",
        float,
        0.5,
        "how long all faults must be gone before motion resumes by itself",
        unit="s",
        low=0.0,
        high=60.0,
        fixed=False,
    ),
    _parameter(
        "frozen_after",
        float,
        2.0,
        "HOLD if a camera's image stays the same for this long while all arms move; 0: never",
        unit="s",
        low=0.0,
        high=60.0,
    ),
    _parameter(
        "ensemble.mode",
        str,
        "act",
        "how overlapping chunks are combined; act: weighted average as in ACT",
        choices=_MODES,
    ),
    _parameter(
        "ensemble.temporal_ensemble_coeff",
        float,
        0.01,
        "act: weights are exp(-coeff * rank), rank 0 is the oldest chunk; 0: equal weights",
        low=0.0,
        high=100.0,
        former_name="ensemble.m",
    ),
    _parameter(
        "ensemble.disagreement",
        float,
        0.3,
        "act: if chunks differ by more than this at an arm joint, only the newest counts",
        unit="rad",
        low=0.001,
        high=100.0,
    ),
    _parameter(
        "ensemble.coupling",
        str,
        "all",
        "act: which joints stop being averaged when one of them disagrees: all, those of its controller, or "
        "none of the others",
        choices=_COUPLINGS,
    ),
    _parameter(
        "ensemble.never_averaged",
        tuple,
        ("grippers",),
        "act: joints that follow the newest chunk only: names of joints, 'grippers' for all grippers, or "
        "'none'",
        former_name="ensemble.newest_wins",
    ),
    _parameter(
        "ensemble.taper",
        float,
        0.2,
        "act: time before its end over which a chunk's weight falls to zero",
        unit="s",
        low=0.0,
        high=10.0,
    ),
    _parameter(
        "dry_run",
        bool,
        False,
        "shadow mode: plans are published on ~/shadow/<controller>/..., and the robot is not moved",
    ),
    _parameter(
        "idle_time",
        float,
        5.0,
        "report the policy as idle after this long without commanded motion",
        unit="s",
        low=0.5,
        high=600.0,
        fixed=False,
    ),
    _parameter(
        "idle_motion",
        float,
        0.02,
        "how far an arm joint must be commanded to move for it to count as motion",
        unit="rad",
        low=1e-4,
        high=1.0,
    ),
    _parameter(
        "incident_seconds",
        float,
        10.0,
        "how many seconds of observations, chunks and commands are kept in memory, to be written to disk on "
        "HOLD, e-stop and ~/save_incident; 3 cameras at 320x240 take 14 MB per second; 0: off",
        unit="s",
        low=0.0,
        high=600.0,
    ),
    _parameter(
        "incident_directory",
        str,
        "",
        "folder for incidents; empty: dit_policy_incidents in $ROS_HOME (~/.ros)",
    ),
)
