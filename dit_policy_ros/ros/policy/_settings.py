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
from dit_policy_ros.core.policy_interface import PolicyFacts
from dit_policy_ros.core.problems import Problems, listing
from dit_policy_ros.core.takeover import LeaderAccess, PersonSettings, TakeoverMode
from dit_policy_ros.ros.policy._parameters import ACTIONS_COMMANDS, ACTIONS_POSITIONS, ACTIONS_UNKNOWN
from dit_policy_ros.ros.teleoperation import Leader

_SHORTEST_CHUNK_TIMEOUT = 2.0  # [s] by default; a computer that is busy for a moment is no fault
_FADE = 1.0 / 6.0  # [s] by default
_LATENCIES = 3.0  # that the next chunk may take by default
_INCIDENT_SHARE = 0.5  # of the available memory that images for incidents may take
# Fractions of a gripper's range, whose unit differs from gripper to gripper.
_GRIPPER_MOTION = 0.1  # that counts as motion
_GRIPPER_MATCH = 0.2  # that a leader may be away when a person takes over (takeover.tolerance)
_GRIPPER_TOLERANCE = 0.1  # that it may be outside its limits when motion starts


def motion_settings(settings: Mapping[str, Any], contract: Contract) -> MotionSettings:
    """How chunks become motion. The disagreement gate ignores grippers.

    Raises:
        ParameterError: ensemble.never_averaged names a joint that the contract does not have, or actions_are
            must be set.
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
        fade_knots=fade_knots(settings, contract.dt),
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
        lead=_lead(settings, contract),
    )


def fade_knots(settings: Mapping[str, Any], dt: float) -> int:
    """Knots over which a new chunk is blended in. Steps are not seconds: 5 are half a second at 10 Hz.

    dt: spacing of the knots [s].
    """
    given = int(settings["fade_knots"])
    return max(1, round(_FADE / dt)) if given < 0 else given


def _lead(settings: Mapping[str, Any], contract: Contract) -> np.ndarray:
    """How much earlier each joint's actions are sent, (A,) [s]."""
    actions_are, horizon = settings["actions_are"], settings["plan_horizon"]
    late = [each for each in contract.controllers if each.latency]
    found = listing(f"controllers.{each.name}.latency {each.latency:g} s" for each in late)
    if late and actions_are == ACTIONS_UNKNOWN:
        raise ParameterError(
            f"actions_are is {ACTIONS_UNKNOWN}, but it matters: the contract has {found}. Set it to "
            f"{ACTIONS_POSITIONS} if the actions of the training data are where the arms were (the "
            f"recorder's action.source joint_state): each is then sent earlier by that latency. Set it to "
            f"{ACTIONS_COMMANDS} if they are what was sent to this robot (action.source commanded or "
            "leader): such data contain the latency already, and nothing is sent earlier"
        )
    if actions_are != ACTIONS_POSITIONS:
        return np.zeros(contract.action_dim)
    if any(each.latency > horizon for each in late):
        raise ParameterError(
            f"a plan covers {horizon:g} s (plan_horizon), but actions would be sent earlier by more: {found}"
            ". Correct the contract (dit_policy calibrate measures the latency), or raise plan_horizon"
        )
    return contract.latencies


def chunk_timeout(
    settings: Mapping[str, Any], contract: Contract, policy: PolicyFacts, latency_p95: float
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
    settings: Mapping[str, Any], contract: Contract, policy: PolicyFacts, available: float | None = None
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


def leader_access(
    leader: Leader | None, settings: Mapping[str, Any], contract: Contract
) -> LeaderAccess | None:
    """How a person takes over with a leader; None without one."""
    if leader is None:
        return None
    limits, grippers = contract.limits.of_joints(leader.joints), contract.gripper_mask[leader.joints]
    tolerance = _per_kind(settings, "takeover.tolerance", contract)[leader.joints]  # (S,)
    of_range = _GRIPPER_MATCH * (limits.position_max - limits.position_min)  # (S,)
    return LeaderAccess(
        leader.track,
        leader.joints,
        PersonSettings(
            TakeoverMode(settings["takeover.mode"]), np.where(grippers, of_range, tolerance), contract.dt_ns
        ),
        settings["takeover.by_motion"],
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
