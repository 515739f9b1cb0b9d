# SPDX-License-Identifier: Apache-2.0
"""The one word of the panel, its colour, and what the operator is to do next."""

from dataclasses import dataclass

from dit_policy_ros.msg import EpisodeReport, PolicyStatus, RecorderStatus

GREY, GREEN, BLUE, AMBER, RED = "#374151", "#14692f", "#1d4ed8", "#92500a", "#b3121d"
LOW_DISK = 10.0  # [min]
_MOVES = "the robot moves: keep clear, and keep STOP at hand"


@dataclass(frozen=True, slots=True)
class Headline:
    """word: readable from three metres. color: of the background. reason: why; "" if the word says it all.

    next_step: what the operator is to do. seconds: since when it runs [s]; None if nothing runs.
    """

    word: str
    color: str
    next_step: str
    reason: str = ""
    seconds: float | None = None


def headline(
    policy: PolicyStatus | None,
    recorder: RecorderStatus | None,
    failed: EpisodeReport | None,
    running_for: float | None = None,
) -> Headline:
    """What the panel says of both nodes; faults come first, then what moves, then what is recorded.

    Args:
        policy, recorder: the newest status; None if the node is silent.
        failed: the newest episode if it failed its check, and nothing began since.
        running_for: time since the policy began to run [s].
    """
    if policy is not None and (found := _policy_fault(policy)):
        return found
    if recorder is not None and (found := _recorder_fault(recorder)):
        return found
    if policy is not None and policy.state == PolicyStatus.RUNNING:
        shadow = "shadow mode: nothing moves" if policy.dry_run else _MOVES
        return Headline("RUNNING", GREEN, shadow, seconds=running_for)
    if policy is not None and policy.state == PolicyStatus.INTERVENTION:
        return Headline("PERSON DRIVES", BLUE, policy.intervention)
    if policy is not None and policy.state == PolicyStatus.HOMING:
        return Headline("GOING HOME", BLUE, policy.intervention)
    if policy is not None and policy.state == PolicyStatus.WAITING:
        return Headline("WAITING", GREEN, f"the first motion comes at any moment; {_MOVES}")
    if recorder is not None:
        return _recorder_state(recorder, failed)
    if policy is not None:
        return Headline(
            policy.state_name.upper() or "OFF", GREY, "configure and activate the policy node to run it"
        )
    return Headline(
        "NO NODE", GREY, "start the recorder or the policy node, in the panel's ROS domain and namespace"
    )


def _policy_fault(policy: PolicyStatus) -> Headline | None:
    if policy.e_stop:
        release = "make the cell safe, then press Release stop and Resume"
        return Headline("STOPPED", RED, release, policy.hold_reason)
    if policy.state == PolicyStatus.HOLD:
        return Headline("HOLD", RED, hold_remedy(policy), policy.hold_reason)
    return None


def hold_remedy(policy: PolicyStatus) -> str:
    """What ends a HOLD."""
    if policy.e_stop:
        return "release the stop, then press Resume"
    if policy.hold_recoverable:
        return "remove the cause; the motion then resumes by itself"
    return "remove the cause, then press Resume"


def _recorder_fault(recorder: RecorderStatus) -> Headline | None:
    if recorder.state == RecorderStatus.ENDED:
        return Headline("ENDED", AMBER, "press Save, Failure or Discard", recorder.problem)
    if recorder.problem:
        return Headline("PROBLEM", RED, "mend it; recording is not possible like this", recorder.problem)
    if recorder.stale_streams and recorder.state in (RecorderStatus.READY, RecorderStatus.RECORDING):
        reason = "no samples: " + ", ".join(recorder.stale_streams)
        recording = recorder.state == RecorderStatus.RECORDING
        step = "discard this episode, then check the source" if recording else "check the source"
        seconds = recorder.elapsed if recording else None
        return Headline("STALE", RED, step, reason, seconds)
    return None


def _recorder_state(recorder: RecorderStatus, failed: EpisodeReport | None) -> Headline:
    if recorder.state == RecorderStatus.RECORDING:
        step = "do the task, then press Save"
        return Headline("RECORDING", BLUE, step, seconds=recorder.elapsed)
    if recorder.state == RecorderStatus.SAVING:
        return Headline("SAVING", AMBER, "wait")
    if recorder.state != RecorderStatus.READY:
        return Headline(
            recorder.state_name.upper() or "OFF", GREY, "configure and activate the recorder to record"
        )
    if failed is not None:
        why = "; ".join(failed.reasons) or "the check gave no reason"
        return Headline("FAILED CHECK", RED, "mend the cause, then record the episode again", why)
    if recorder.interrupted:
        return Headline("DECIDE", AMBER, "keep or discard what a crash interrupted: see the recorder's card")
    if recorder.countdown > 0.0:
        return Headline("RESET", AMBER, f"reset the scene: {recorder.countdown:.0f} s")
    return Headline("READY", GREY, "prepare the scene, then press Start")
