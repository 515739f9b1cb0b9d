# SPDX-License-Identifier: Apache-2.0
"""Parameters of the policy node, and what they mean for the parts that it is built from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.motion import EnsembleMode, EnsembleSettings, MotionSettings, Pacing
from dit_policy_ros.core.problems import Problems
from dit_policy_ros.ros.common import Parameter
from dit_policy_ros.ros.policy._inference_parameters import INFERENCE_PARAMETERS

_MODES = tuple(mode.value for mode in EnsembleMode)


_COUPLINGS = ("all", "controller", "none")
_PACINGS = tuple(pacing.value for pacing in Pacing)


def _parameter(name: str, kind: type, default: Any, description: str, **more: Any) -> Parameter:
    """What a replayed incident depends on stays as it was when the node was configured."""
    return Parameter(name, kind, default, description, **({"read_only": True} | more))


POLICY_PARAMETERS = (
    _parameter("checkpoint", str, "", "folder of the checkpoint (LeRobot's multi_task_dit format)"),
    *INFERENCE_PARAMETERS,
    _parameter("task", str, "", "instruction at the start; ~/set_task changes it"),
    _parameter(
        "control_rate", float, 50.0, "how often freshness is watched", unit="Hz", low=5.0, high=1000.0
    ),
    _parameter(
        "replan_interval",
        float,
        0.1,
        "time between what two inferences see, to half a period",
        unit="s",
        low=0.0,
        high=10.0,
    ),
    _parameter(
        "pacing", str, Pacing.CONTINUOUS.value, "stop_and_go: observe at rest, infer, move", choices=_PACINGS
    ),
    _parameter(
        "velocity_scale",
        float,
        1.0,
        "share of the velocity limits that is used; for first trials",
        low=0.01,
        high=1.0,
        read_only=False,
    ),
    _parameter(
        "plan_horizon", float, 0.5, "how long arms move after this node died", unit="s", low=0.1, high=5.0
    ),
    _parameter(
        "soft_start", float, 1.0, "the first motion is blended in over this", unit="s", low=0.0, high=10.0
    ),
    _parameter(
        "task_fade",
        float,
        0.0,
        "a change of the task is blended in over this; 0: the former task is dropped at once",
        unit="s",
        low=0.0,
        high=5.0,
    ),
    _parameter("fade_knots", int, 5, "knots over which a chunk is faded in", unit="knots", low=0, high=100),
    _parameter(
        "max_tracking_error",
        float,
        0.5,
        "HOLD starts from where an arm joint is if that is further off than this",
        unit="rad",
        low=0.01,
        high=10.0,
    ),
    _parameter(
        "stream_timeout",
        float,
        5.0,
        "how long activation waits for streams",
        unit="s",
        low=0.0,
        high=600.0,
        read_only=False,
    ),
    _parameter(
        "recovery_time",
        float,
        0.5,
        "all is well this long before motion resumes",
        unit="s",
        low=0.0,
        high=60.0,
        read_only=False,
    ),
    _parameter(
        "frozen_after",
        float,
        2.0,
        "a picture that stays the same so long while all arms move is frozen; 0: never",
        unit="s",
        low=0.0,
        high=60.0,
    ),
    _parameter("ensemble.mode", str, "act", "how live chunks become one motion", choices=_MODES),
    _parameter(
        "ensemble.temporal_ensemble_coeff",
        float,
        0.01,
        "act: decay of the weights, oldest first; 0: equal",
        low=0.0,
        high=100.0,
    ),
    _parameter(
        "ensemble.disagreement",
        float,
        0.3,
        "act: arm joints spread further are not averaged",
        unit="rad",
        low=0.001,
        high=100.0,
    ),
    _parameter(
        "ensemble.coupling",
        str,
        "all",
        "act: joints that stop being averaged together where one of them disagrees",
        choices=_COUPLINGS,
    ),
    _parameter(
        "ensemble.never_averaged",
        tuple,
        ("grippers",),
        "act: joints that are never averaged: their names, 'grippers' for all of those, or 'none'",
    ),
    _parameter(
        "ensemble.taper",
        float,
        0.2,
        "act: over this, before its end, a chunk loses its weight",
        unit="s",
        low=0.0,
        high=10.0,
    ),
    _parameter(
        "dry_run", bool, False, "shadow mode: plans go to ~/shadow/<controller>/..., the robot is not moved"
    ),
    _parameter(
        "idle_time",
        float,
        5.0,
        "no commanded motion for this long is reported",
        unit="s",
        low=0.5,
        high=600.0,
        read_only=False,
    ),
    _parameter(
        "idle_motion", float, 0.02, "an arm joint must go this far to move", unit="rad", low=1e-4, high=1.0
    ),
    _parameter(
        "incident_seconds",
        float,
        10.0,
        "observations, chunks and commands of the last seconds are kept in memory and written on HOLD, "
        "e-stop and ~/save_incident; 3 cameras at 320x240 take 14 MB per second; 0: off",
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

_GRIPPER_MOTION = 0.1  # of a gripper's range


def idle_motion(settings: Mapping[str, Any], contract: Contract) -> np.ndarray:
    """How far each joint must be commanded to go for it to count as motion, (A,) [rad or m]."""
    limits = contract.limits
    gripper = _GRIPPER_MOTION * (limits.position_max - limits.position_min)  # (A,)
    return np.where(contract.gripper_mask, gripper, settings["idle_motion"])


def motion_settings(settings: Mapping[str, Any], contract: Contract) -> MotionSettings:
    """How chunks become motion, from the parameters. Grippers are exempt from the disagreement gate.

    Raises:
        ParameterError: ensemble.never_averaged names a joint that the contract does not have.
    """
    gripper = contract.gripper_mask  # (A,)
    # In shadow mode the arms follow somebody else.
    tracking = np.inf if settings["dry_run"] else settings["max_tracking_error"]
    return MotionSettings(
        ensemble=EnsembleSettings(
            mode=EnsembleMode(settings["ensemble.mode"]),
            temporal_ensemble_coeff=settings["ensemble.temporal_ensemble_coeff"],
            never_averaged=_never_averaged(settings["ensemble.never_averaged"], contract),
            max_disagreement=np.where(gripper, np.inf, settings["ensemble.disagreement"]),  # (A,)
            coupling=_groups(settings["ensemble.coupling"], contract),
            taper_ns=round(settings["ensemble.taper"] * 1e9),
            continuous=contract.limits.continuous,
        ),
        plan_horizon=settings["plan_horizon"],
        fade_knots=settings["fade_knots"],
        soft_start=settings["soft_start"],
        pacing=Pacing(settings["pacing"]),
        task_fade=settings["task_fade"],
        # A gripper that squeezes an object never arrives where it was told to go: that is its grip.
        max_tracking_error=np.where(gripper, np.inf, tracking),  # (A,)
    )


def _never_averaged(names: Sequence[str], contract: Contract) -> np.ndarray:
    """The joints that are never averaged, (A,) bool."""
    problems = Problems("the parameters")
    mask = np.zeros(contract.action_dim, dtype=bool)  # (A,)
    for name in names:
        if name == "grippers":
            mask |= contract.gripper_mask
        elif name in contract.joints:
            mask[contract.joints.index(name)] = True
        elif name != "none":
            problems.add_unknown("ensemble.never_averaged", name, ("grippers", "none", *contract.joints))
    problems.raise_if_any(ParameterError, "The parameters are not valid")
    return mask


def _groups(coupling: str, contract: Contract) -> np.ndarray:
    """One number per group of joints that disagree together, (A,) int."""
    groups = np.arange(contract.action_dim) if coupling == "none" else np.zeros(contract.action_dim, np.int64)
    if coupling == "controller":
        for number, controller in enumerate(contract.controllers):
            groups[contract.indices(controller)] = number
    return groups.astype(np.int64)
