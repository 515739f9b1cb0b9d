# SPDX-License-Identifier: Apache-2.0
"""Checks the quality of an episode as soon as it ends, while the operator can still repeat it.

Shapes: N frames, D joints, C cameras.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

import numpy as np

from dit_policy_ros.core.continuous_joints import unwrap
from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording._action_source import TOPIC_SOURCES
from dit_policy_ros.core.recording._episode_trace import ACTION, EpisodeTrace
from dit_policy_ros.core.recording._losses import StreamLosses, left_behind

_MOVED = 0.01  # [share of a joint's range] a command that differs more from the first one is a motion
_STILL = 0.001  # [share of a joint's range] a joint that stays within this does not move


class CameraFigures(Protocol):
    """Figures of one camera's images, known once they are encoded."""

    @property
    def frames(self) -> int:
        """Number of images."""
        ...

    @property
    def frozen(self) -> int:
        """Number of new images that equal the one before."""
        ...

    @property
    def clipped(self) -> int:
        """Number of images that are all black or all white."""
        ...

    @property
    def waits(self) -> int:
        """Number of images that had to wait for the encoder."""
        ...


@dataclass(frozen=True, slots=True)
class CheckThresholds:
    """Limits beyond which an episode fails the check; beyond ``max_idle`` it only gets a warning.

    max_missing, max_frozen, max_clipped: share of the frames. min_rate: share of the contract's fps that the
    slowest camera must reach. max_skew [periods]: time between the images of a frame, and between images and
    joints. max_jump: change of the command from frame to frame, as a multiple of what the velocity limit
    allows. max_idle [s]: time without motion at either end.
    """

    max_missing: float = 0.05
    min_rate: float = 0.95
    max_skew: float = 1.5
    max_frozen: float = 0.5
    max_clipped: float = 0.1
    max_jump: float = 2.0
    max_idle: float = 3.0


@dataclass(frozen=True, slots=True)
class EpisodeCheck:
    """The result of a check.

    reasons: why the episode failed, empty if it passed. warnings: for the operator; they do not fail it.
    camera_skew, joint_skew [s]: 99th percentiles of the time between the images of a frame, and between
    images and joints. idle_start, idle_end [s]: time before the first and after the last motion. jumps:
    number of frames whose command is too far from the one before. still_joints: names of joints that did not
    move.
    """

    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    camera_skew: float = 0.0
    joint_skew: float = 0.0
    idle_start: float = 0.0
    idle_end: float = 0.0
    jumps: int = 0
    still_joints: tuple[str, ...] = ()

    def with_reason(self, reason: str) -> "EpisodeCheck":
        """A copy that fails for one more reason, which comes first."""
        return replace(self, reasons=(reason, *self.reasons))

    @property
    def passed(self) -> bool:
        """Whether the episode is good enough for training."""
        return not self.reasons


def check_episode(
    trace: EpisodeTrace,
    rate: float,
    cameras: Mapping[str, CameraFigures],
    contract: Contract,
    thresholds: CheckThresholds,
    losses: Mapping[str, StreamLosses] = MappingProxyType({}),
    slowest: str = "",
) -> EpisodeCheck:
    """Check an episode of at least one frame.

    Args:
        trace: its frames.
        rate: image rate of the slowest camera, repeated images not counted [Hz]; NaN with fewer than two.
        cameras: figures of the images, by camera.
        contract: joints, limits and rate.
        thresholds: beyond which the check fails.
        losses: samples and commands that were dropped, by stream.
        slowest: name of the slowest camera, whose rate it is; empty if all have the contract's rate.
    """
    trace = _unwrapped(trace, contract)
    count = len(trace)
    reasons, warnings = [], []
    expected = contract.image_rate(contract.camera(slowest)) if slowest else trace.fps  # [Hz]
    if rate < thresholds.min_rate * expected:
        own = f"cameras.{slowest or 'NAME'}.fps"
        reasons.append(
            f"the slowest camera delivered {rate:.1f} of {expected:g} images per second. If it sends more, "
            "they get lost in transport: start it with the Fast DDS profile config/fastdds.xml. If that is "
            f"its rate, say so in {own} of the contract"
        )
    for name, frames in trace.repeated.items():
        share = len(frames) / count
        text = f"{name}: {len(frames)} of {count} frames had no new sample and repeat the one before"
        if share > thresholds.max_missing:
            reasons.append(f"{text} (max_missing is {thresholds.max_missing:.0%})")
        else:
            warnings.append(text)
    commands = {*(controller.name for controller in contract.controllers), *TOPIC_SOURCES}
    for name, each in losses.items():
        if text := each.text():  # the reason why frames are missing, or worth knowing
            share = trace.share_repeated(ACTION if name in commands else name)
            (reasons if share > thresholds.max_missing else warnings).append(f"{name}: {text}")
    reasons += _camera_reasons(cameras, contract, thresholds)
    warnings += [
        f"{name}: {camera.waits} images waited for the encoder; this machine is close to its limit"
        for name, camera in cameras.items()
        if camera.waits
    ]
    camera_skew, joint_skew = skews(trace)
    # The image of a slow camera stays the newest for longer than a frame.
    longer = max((contract.image_lead(contract.camera(name)) for name in trace.cameras), default=0.0)  # [s]
    for what, skew in (("the images of a frame", camera_skew), ("images and joints", joint_skew)):
        if (skew - longer) * trace.fps > thresholds.max_skew:
            slow = f", and a slow camera's image stays for {longer * 1e3:.0f} ms more" if longer else ""
            reasons.append(
                f"{what} are {skew * 1e3:.0f} ms apart (max_skew is {thresholds.max_skew:g} periods{slow})"
            )
    start, end = idle(trace, contract)
    for when, seconds in (("before the first", start), ("after the last", end)):
        if seconds > thresholds.max_idle:
            warnings.append(f"idle for {seconds:.1f} s {when} motion (max_idle is {thresholds.max_idle:g} s)")
    jumps = action_jumps(trace, contract, thresholds.max_jump)
    if len(jumps):
        shown = listing([*map(str, jumps[:5]), *(["..."] if len(jumps) > 5 else [])])
        reasons.append(
            f"the command jumps at {len(jumps)} frames ({shown}) by more than {thresholds.max_jump:g} times "
            "the velocity limit"
        )
    away = left_behind(trace.state, trace.action, _ranges(contract))  # (N, D)
    if away.any():
        names = [contract.joints[joint] for joint in np.flatnonzero(away.any(axis=0))]
        frames = int(away.any(axis=1).sum())
        text = (
            f"{listing(names)}: the command stood still while the joint moved away from it, at {frames} of "
            f"{count} frames. Are there commands that the recorder does not hear, on another topic or as "
            "goals?"
        )
        (reasons if frames > thresholds.max_missing * count else warnings).append(text)
    still = still_joints(trace, contract)
    if len(still) == len(contract.joints):
        reasons.append("no joint moved")
    elif still:
        warnings.append(f"joints that never moved: {listing(still)}")
    return EpisodeCheck(
        reasons=tuple(reasons),
        warnings=tuple(warnings),
        camera_skew=camera_skew,
        joint_skew=joint_skew,
        idle_start=start,
        idle_end=end,
        jumps=len(jumps),
        still_joints=still,
    )


def skews(trace: EpisodeTrace) -> tuple[float, float]:
    """99th percentiles of the time between the images of a frame, and between images and joints [s].

    The joints are interpolated at the time of the frame, so that time stands for them.
    """
    stamps = trace.image_stamps_ns  # (N, C)
    if not stamps.size:
        return 0.0, 0.0
    spread = (stamps.max(axis=1) - stamps.min(axis=1)) / NANOSECONDS  # (N,)
    distance = np.abs(stamps - trace.stamps_ns[:, None]).max(axis=1) / NANOSECONDS  # (N,)
    return float(np.percentile(spread, 99)), float(np.percentile(distance, 99))


def idle(trace: EpisodeTrace, contract: Contract) -> tuple[float, float]:
    """Time before the command first changes and after it has reached its final value [s]."""
    action = trace.action  # (N, D)
    tolerance = _MOVED * _ranges(contract)  # (D,)
    off_start = (np.abs(action - action[0]) > tolerance).any(axis=1)  # (N,)
    off_end = (np.abs(action - action[-1]) > tolerance).any(axis=1)  # (N,)
    start = int(off_start.argmax()) if off_start.any() else len(action)
    end = int(off_end[::-1].argmax()) if off_end.any() else len(action)
    return start / trace.fps, end / trace.fps


def action_jumps(trace: EpisodeTrace, contract: Contract, factor: float) -> np.ndarray:
    """Frames whose command differs from the one before by more than `factor` times the velocity limit."""
    steps = np.abs(np.diff(trace.action, axis=0))  # (N - 1, D)
    too_far = (steps > factor * contract.limits.velocity / trace.fps).any(axis=1)  # (N - 1,)
    return np.flatnonzero(too_far) + 1


def still_joints(trace: EpisodeTrace, contract: Contract) -> tuple[str, ...]:
    """Names of the joints whose measured position does not change."""
    travel = np.ptp(trace.state, axis=0)  # (D,)
    still = travel <= _STILL * _ranges(contract)  # (D,)
    return tuple(name for name, is_still in zip(contract.joints, still, strict=True) if is_still)


def _unwrapped(trace: EpisodeTrace, contract: Contract) -> EpisodeTrace:
    """The trace without the jumps of continuous joints by whole turns."""
    continuous = contract.limits.continuous  # (D,)
    if not len(trace) or not continuous.any():
        return trace
    state = unwrap(trace.state, trace.state[0], continuous)  # (N, D)
    return trace.replaced(state, unwrap(trace.action, state[0], continuous))


def _ranges(contract: Contract) -> np.ndarray:
    """How far each joint can move (D,) [rad or m]; a continuous one by a turn before it is where it was."""
    limits = contract.limits
    return np.where(limits.continuous, 2.0 * np.pi, limits.position_max - limits.position_min)  # (D,)


def _camera_reasons(
    cameras: Mapping[str, CameraFigures], contract: Contract, thresholds: CheckThresholds
) -> Sequence[str]:
    reasons = []
    # Named as in the contract, or as in the dataset.
    known = {name: each for each in contract.cameras for name in (each.dataset_name, each.name)}
    for name, camera in cameras.items():
        new = round(camera.frames * contract.image_rate(known[name]) / contract.fps)
        if camera.frozen > thresholds.max_frozen * new:
            reasons.append(f"{name}: {camera.frozen} of {new} new images equal the one before; is it frozen?")
        if camera.clipped > thresholds.max_clipped * camera.frames:
            what, where = "are all black or all white", "the light, the exposure and the lens cap"
            if known[name].is_depth:
                what, where = "have no distance in them", "the projector and the least distance of the camera"
            reasons.append(f"{name}: {camera.clipped} of {camera.frames} images {what}; check {where}")
    return reasons
