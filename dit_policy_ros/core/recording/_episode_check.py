# SPDX-License-Identifier: Apache-2.0
"""Judges an episode while the operator still stands there: is it fit to be learned from?

Shapes: N frames, D joints, C cameras.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording._episode_trace import EpisodeTrace

_MOVED = 0.01  # of a joint's range: a command that goes further than this from the first one is a motion
_STILL = 0.001  # of a joint's range: a joint that stays within this does not move


class CameraFigures(Protocol):
    """What is known of one camera's images once they are encoded."""

    @property
    def frames(self) -> int:
        """Images."""
        ...

    @property
    def frozen(self) -> int:
        """New images that equal the one before."""
        ...

    @property
    def clipped(self) -> int:
        """Images that are all black or all white."""
        ...

    @property
    def waits(self) -> int:
        """Images that had to wait for the encoder."""
        ...


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Beyond these the verdict fails, or with `max_idle` warns.

    max_missing, max_frozen, max_clipped: share of the frames. min_rate: share of the contract's fps that the
    slowest camera must reach. max_skew: of images among one another and against the joints [periods].
    max_jump: of the command from one frame to the next, in terms of the velocity limit. max_idle [s]: at
    either end.
    """

    max_missing: float = 0.05
    min_rate: float = 0.95
    max_skew: float = 1.5
    max_frozen: float = 0.5
    max_clipped: float = 0.1
    max_jump: float = 2.0
    max_idle: float = 3.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """reasons: why the episode fails, empty if it passes. warnings: what the operator should know besides.

    camera_skew, joint_skew [s]: 99th percentiles of how far the images of a frame lie apart, and from the
    joints. idle_start, idle_end [s]: before the first and after the last motion. jumps: frames whose command
    is too far from the one before. still_joints: names.
    """

    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    camera_skew: float = 0.0
    joint_skew: float = 0.0
    idle_start: float = 0.0
    idle_end: float = 0.0
    jumps: int = 0
    still_joints: tuple[str, ...] = ()

    def failed(self, reason: str) -> "Verdict":
        """The same with one reason more, before the others."""
        return replace(self, reasons=(reason, *self.reasons))

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against learning from the episode."""
        return not self.reasons


def judge(
    trace: EpisodeTrace,
    rate: float,
    cameras: Mapping[str, CameraFigures],
    contract: Contract,
    thresholds: Thresholds,
) -> Verdict:
    """The verdict on an episode of at least one frame.

    Args:
        trace: its frames.
        rate: of the slowest camera's different images [Hz]; NaN if there were not two.
        cameras: by name, what became of the images.
        contract: joints, limits and rate.
        thresholds: see there.
    """
    count = len(trace)
    reasons, warnings = [], []
    if rate < thresholds.min_rate * trace.fps:
        reasons.append(
            f"the slowest camera delivered {rate:.1f} images per second of {trace.fps:g}. If it sends more, "
            "they are lost on the way: start it with the Fast DDS profile config/fastdds.xml"
        )
    for name, frames in trace.repeated.items():
        share = len(frames) / count
        text = f"{name}: {len(frames)} of {count} frames repeat the sample before them"
        if share > thresholds.max_missing:
            reasons.append(f"{text} (max_missing is {thresholds.max_missing:.0%})")
        else:
            warnings.append(text)
    reasons += _of_cameras(cameras, thresholds)
    warnings += [
        f"{name}: {camera.waits} images waited for the encoder; this machine is close to its limit"
        for name, camera in cameras.items()
        if camera.waits
    ]
    camera_skew, joint_skew = skews(trace)
    for what, skew in (("of one frame lie", camera_skew), ("lie from the joints", joint_skew)):
        if skew * trace.fps > thresholds.max_skew:
            reasons.append(
                f"images {what} {skew * 1e3:.0f} ms apart (max_skew is {thresholds.max_skew:g} periods)"
            )
    start, end = idle(trace, contract)
    for when, seconds in (("before the first", start), ("after the last", end)):
        if seconds > thresholds.max_idle:
            warnings.append(f"{seconds:.1f} s {when} motion (max_idle is {thresholds.max_idle:g} s)")
    jumps = action_jumps(trace, contract, thresholds.max_jump)
    if len(jumps):
        shown = listing([*map(str, jumps[:5]), *(["..."] if len(jumps) > 5 else [])])
        reasons.append(
            f"the command jumps at {len(jumps)} frames ({shown}) by more than {thresholds.max_jump:g} times "
            "what the velocity limit allows"
        )
    still = still_joints(trace, contract)
    if len(still) == len(contract.joints):
        reasons.append("no joint moved")
    elif still:
        warnings.append(f"joints that never moved: {listing(still)}")
    return Verdict(tuple(reasons), tuple(warnings), camera_skew, joint_skew, start, end, len(jumps), still)


def skews(trace: EpisodeTrace) -> tuple[float, float]:
    """99th percentiles of the images' spread in a frame and of their distance from the joints [s].

    The joints are interpolated at the time of the frame itself.
    """
    stamps = trace.image_stamps_ns  # (N, C)
    if not stamps.size:
        return 0.0, 0.0
    spread = (stamps.max(axis=1) - stamps.min(axis=1)) / NANOSECONDS  # (N,)
    distance = np.abs(stamps - trace.stamps_ns[:, None]).max(axis=1) / NANOSECONDS  # (N,)
    return float(np.percentile(spread, 99)), float(np.percentile(distance, 99))


def idle(trace: EpisodeTrace, contract: Contract) -> tuple[float, float]:
    """Time before the command leaves its first value and after it has reached its last one [s]."""
    action = trace.action  # (N, D)
    tolerance = _MOVED * _ranges(contract)  # (D,)
    leaves = (np.abs(action - action[0]) > tolerance).any(axis=1)  # (N,)
    arrives = (np.abs(action - action[-1]) > tolerance).any(axis=1)  # (N,)
    start = int(leaves.argmax()) if leaves.any() else len(action)
    end = int(arrives[::-1].argmax()) if arrives.any() else len(action)
    return start / trace.fps, end / trace.fps


def action_jumps(trace: EpisodeTrace, contract: Contract, factor: float) -> np.ndarray:
    """Frames whose command is further from the one before than `factor` times the velocity limit allows."""
    steps = np.abs(np.diff(trace.action, axis=0))  # (N - 1, D)
    too_far = (steps > factor * contract.limits.velocity / trace.fps).any(axis=1)  # (N - 1,)
    return np.flatnonzero(too_far) + 1


def still_joints(trace: EpisodeTrace, contract: Contract) -> tuple[str, ...]:
    """Names of the joints whose measured position stays the same."""
    travel = np.ptp(trace.state, axis=0)  # (D,)
    still = travel <= _STILL * _ranges(contract)  # (D,)
    return tuple(name for name, is_still in zip(contract.joints, still, strict=True) if is_still)


def _ranges(contract: Contract) -> np.ndarray:
    return contract.limits.position_max - contract.limits.position_min  # (D,)


def _of_cameras(cameras: Mapping[str, CameraFigures], thresholds: Thresholds) -> Sequence[str]:
    reasons = []
    for name, camera in cameras.items():
        if camera.frozen > thresholds.max_frozen * camera.frames:
            reasons.append(
                f"{name}: {camera.frozen} of {camera.frames} new images equal the one before; is it frozen?"
            )
        if camera.clipped > thresholds.max_clipped * camera.frames:
            reasons.append(
                f"{name}: {camera.clipped} of {camera.frames} images are all black or all white; "
                "check the light, the exposure and the lens cap"
            )
    return reasons
