# SPDX-License-Identifier: Apache-2.0
"""The table of the policy node's parameters. `_settings` says what they mean for the node's parts."""

from dit_policy_ros.core.motion import EnsembleMode, Pacing
from dit_policy_ros.core.policy_interface import UNKNOWN_TASKS
from dit_policy_ros.ros.common import FOLLOW_PARENT
from dit_policy_ros.ros.inference_protocol import INFERENCE_PARAMETERS
from dit_policy_ros.ros.inference_protocol import parameter as _parameter
from dit_policy_ros.ros.teleoperation import TAKEOVER_PARAMETERS

_MODES = tuple(mode.value for mode in EnsembleMode)
_PACINGS = tuple(pacing.value for pacing in Pacing)
_COUPLINGS = ("all", "controller", "none")

ACTIONS_UNKNOWN, ACTIONS_COMMANDS, ACTIONS_POSITIONS = "unknown", "commands", "positions"

POLICY_PARAMETERS = (
    *INFERENCE_PARAMETERS,
    _parameter(
        "inference",
        str,
        "process",
        "where the inference node runs; process: as a child of this node, which starts, watches and ends it. "
        "external: somebody starts it, maybe on another computer (inference.launch.py); it then has its own "
        "parameters for the checkpoint and the inference",
        choices=("process", "external"),
    ),
    _parameter(
        "link_timeout",
        float,
        0.3,
        "HOLD if no sign of life comes from the inference node for this long; longer for a network that "
        "drops out",
        unit="s",
        low=0.1,
        high=10.0,
    ),
    _parameter(
        "heartbeat_timeout",
        float,
        2.0,
        "HOLD if somebody who watches the robot, as the panel does by ~/heartbeat, is silent for this long "
        "without having left",
        unit="s",
        low=0.2,
        high=60.0,
    ),
    _parameter("task", str, "", "the first instruction; ~/set_task changes it"),
    _parameter(
        "unknown_tasks",
        str,
        "refuse",
        "what ~/set_task does with an instruction that is unlike every one of the training: refuse it with "
        "the nearest known ones, or follow it and warn; a checkpoint that does not say what it was trained "
        "with refuses none",
        choices=UNKNOWN_TASKS,
        fixed=False,
    ),
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
        "control_priority",
        int,
        50,
        "real-time priority (SCHED_FIFO) of the thread that checks and moves, as thread_priority of "
        "ros2_control's controller manager; 0: none. Where the system does not permit it, the node warns and "
        "runs without",
        low=0,
        high=90,
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
        "chunk_timeout",
        float,
        0.0,
        "HOLD if the policy gives no usable chunk for this long; 0: three times replan_interval and the "
        "latency measured at configure, plus the age that observations may have, at least 2 s",
        unit="s",
        low=0.0,
        high=600.0,
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
        -1,
        "knots of a plan over which a new chunk is blended in; -1: those of 1/6 s, which are 5 at 30 Hz",
        unit="knots",
        low=-1,
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
        "max_tracking_error_prismatic",
        float,
        0.05,
        "max_tracking_error of joints that slide (limits.<joint>.prismatic)",
        unit="m",
        low=0.0001,
        high=10.0,
    ),
    _parameter(
        "pose_tolerance",
        float,
        0.02,
        "how far outside its limits an arm joint may be when motion starts or resumes; it is led back "
        "gently. Further outside, the start is refused",
        unit="rad",
        low=0.0,
        high=1.0,
    ),
    _parameter(
        "pose_tolerance_prismatic",
        float,
        0.005,
        "pose_tolerance of joints that slide (limits.<joint>.prismatic)",
        unit="m",
        low=0.0,
        high=1.0,
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
        "ensemble.disagreement_prismatic",
        float,
        0.02,
        "ensemble.disagreement of joints that slide (limits.<joint>.prismatic)",
        unit="m",
        low=0.0001,
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
        "actions_are",
        str,
        ACTIONS_UNKNOWN,
        "what the actions of the training data are; positions: where the arms were, so each is sent earlier "
        "by its controller's latency (in the contract). commands: what was sent to such arms, so nothing is "
        "sent earlier. It must be set if the contract has latencies of controllers",
        choices=(ACTIONS_UNKNOWN, ACTIONS_COMMANDS, ACTIONS_POSITIONS),
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
        "idle_motion_prismatic",
        float,
        0.005,
        "idle_motion of joints that slide (limits.<joint>.prismatic)",
        unit="m",
        low=1e-5,
        high=1.0,
    ),
    *TAKEOVER_PARAMETERS,
    FOLLOW_PARENT,
)
