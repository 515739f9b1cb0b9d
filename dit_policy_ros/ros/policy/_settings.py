# SPDX-License-Identifier: Apache-2.0
"""Turns parameters of the policy node into settings of the motion path and options of ``load_policy``."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.motion import EnsembleMode, EnsembleSettings, MotionSettings, Pacing
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.core.problems import Problems

_SHORTEST_CHUNK_TIMEOUT = 2.0  # [s] by default; a computer that is busy for a moment is no fault
_LATENCIES = 3.0  # that the next chunk may take by default
_INCIDENT_SHARE = 0.5  # of the available memory that images for incidents may take
# Fractions of a gripper's range, whose unit differs from gripper to gripper.
_GRIPPER_MOTION = 0.1  # that counts as motion
_GRIPPER_TOLERANCE = 0.1  # that it may be outside its limits when motion starts
_POLICY_OPTIONS = (
    "device",
    "num_threads",
    "backend",
    "dtype",
    "guidance_scale",
    "warm_start",
    "real_time_chunking",
    "block_cache",
)


def policy_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of ``load_policy``.

    Raises:
        ParameterError: an option that samples a chunk from the one being executed, with pacing stop_and_go.
    """
    if settings["pacing"] == Pacing.STOP_AND_GO:
        for name in ("warm_start", "real_time_chunking"):
            if settings[name]:
                raise ParameterError(
                    f"{name} is {settings[name]}, but with pacing {Pacing.STOP_AND_GO.value} nothing is "
                    f"executed while a chunk is inferred: switch {name} off, or set pacing to "
                    f"{Pacing.CONTINUOUS.value}"
                )
    options: dict[str, Any] = {name: settings[name] for name in _POLICY_OPTIONS}
    if settings["num_inference_steps"]:
        options["sampling_steps"] = settings["num_inference_steps"]
    return options


def motion_settings(settings: Mapping[str, Any], contract: Contract) -> MotionSettings:
    """How chunks become motion. The disagreement gate ignores grippers.

    Raises:
        ParameterError: ensemble.never_averaged names a joint that the contract does not have.
    """
    gripper, limits = contract.gripper_mask, contract.limits  # (A,)
    # In shadow mode the arms follow the operator, so a tracking error means nothing.
    shadow = settings["dry_run"]
    max_tracking_error = np.inf if shadow else _per_kind(settings, "max_tracking_error", contract)  # (A,)
    return MotionSettings(
        ensemble=EnsembleSettings(
            mode=EnsembleMode(settings["ensemble.mode"]),
            temporal_ensemble_coeff=settings["ensemble.temporal_ensemble_coeff"],
            never_averaged=_never_averaged(settings["ensemble.never_averaged"], contract),
            max_disagreement=np.where(
                gripper, np.inf, _per_kind(settings, "ensemble.disagreement", contract)
            ),  # (A,)
            coupling=_coupled_groups(settings["ensemble.coupling"], contract),
            taper_ns=round(settings["ensemble.taper"] * 1e9),
            continuous=limits.continuous,
        ),
        plan_horizon=settings["plan_horizon"],
        fade_knots=settings["fade_knots"],
        soft_start=settings["soft_start"],
        pacing=Pacing(settings["pacing"]),
        task_fade=settings["task_fade"],
        # A gripper that squeezes an object never reaches its command: the difference is the grip.
        max_tracking_error=np.where(gripper, np.inf, max_tracking_error),  # (A,)
        pose_tolerance=np.where(
            gripper,
            _GRIPPER_TOLERANCE * (limits.position_max - limits.position_min),
            _per_kind(settings, "pose_tolerance", contract),
        ),  # (A,)
    )


def chunk_timeout(
    settings: Mapping[str, Any], contract: Contract, policy: Policy, latency_p95: float
) -> float:
    """After how long without a chunk the arms hold [s]: the parameter, or the default for this latency.

    A chunk takes the streams' next message, the history of an observation at rest (stop_and_go), an interval
    and an inference. The default allows three times the latter two.

    Args:
        settings: the parameters.
        contract: has the streams' max_age.
        policy: has the number of observations.
        latency_p95: 95th percentile of the inference latency, measured here [s].

    Raises:
        ParameterError: chunk_timeout is shorter than a chunk takes.
    """
    cycle = settings["replan_interval"] + latency_p95  # [s]
    timeout = settings["chunk_timeout"]
    if timeout and timeout < cycle:
        raise ParameterError(
            f"chunk_timeout is {timeout:g} s, but a chunk takes {cycle:.3f} s: replan_interval "
            f"{settings['replan_interval']:g} s and an inference of {latency_p95:.3f} s (p95, measured "
            "here). Raise it, or set it to 0 for a value derived from the latency"
        )
    ages = [contract.joint_states_max_age, *(camera.max_age for camera in contract.cameras)]  # [s]
    history = (policy.n_obs_steps - 1) * contract.dt  # [s]
    return timeout or max(_SHORTEST_CHUNK_TIMEOUT, max(ages) + history + _LATENCIES * cycle)


def check_incident_memory(
    settings: Mapping[str, Any], contract: Contract, policy: Policy, available: float | None = None
) -> None:
    """Refuse incident_seconds for which this computer has too little memory.

    Args:
        settings: the parameters.
        contract: of the robot.
        policy: whose images are kept.
        available: memory that programs can get [bytes]; None: as much as this computer has now.

    Raises:
        ParameterError: the images would take more than half of it.
    """
    # Each frame is kept once, though consecutive observations share frames.
    inferences = 1.0 / max(settings["replan_interval"], contract.dt)  # [Hz]
    frames = min(contract.fps, policy.n_obs_steps * inferences)  # [Hz]
    rate = frames * sum(3 * height * width for height, width in policy.image_shapes.values())  # [bytes/s]
    needed, seconds = rate * settings["incident_seconds"], settings["incident_seconds"]
    allowed = _INCIDENT_SHARE * (available_memory() if available is None else available)
    if needed > allowed:
        raise ParameterError(
            f"incident_seconds: {seconds:g} s of images take {needed / 1e9:.1f} GB of memory "
            f"({len(policy.image_shapes)} cameras, {frames:.3g} frames per second). Expected at most "
            f"{math.floor(allowed / rate)} s, which take half of the "
            f"{allowed / _INCIDENT_SHARE / 1e9:.1f} GB that are available now"
        )


def available_memory() -> float:
    """Memory that programs can get without swapping [bytes]; infinite where Linux does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return math.inf
    return next(
        (float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), math.inf
    )


def idle_motion(settings: Mapping[str, Any], contract: Contract) -> np.ndarray:
    """How far each joint must be commanded to move for it to count as motion, (A,) [rad or m]."""
    limits = contract.limits
    gripper = _GRIPPER_MOTION * (limits.position_max - limits.position_min)  # (A,)
    return np.where(contract.gripper_mask, gripper, _per_kind(settings, "idle_motion", contract))


def _per_kind(settings: Mapping[str, Any], name: str, contract: Contract) -> np.ndarray:
    """A threshold for each joint, (A,): the parameter [rad], or its twin for joints that slide [m]."""
    return np.where(contract.limits.prismatic, settings[f"{name}_prismatic"], settings[name])  # (A,)


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


def _coupled_groups(coupling: str, contract: Contract) -> np.ndarray:
    """One number per joint, (A,) int; joints with the same number stop being averaged together."""
    groups = np.arange(contract.action_dim) if coupling == "none" else np.zeros(contract.action_dim, np.int64)
    if coupling == "controller":
        for number, controller in enumerate(contract.controllers):
            groups[contract.indices(controller)] = number
    return groups.astype(np.int64)
