# SPDX-License-Identifier: Apache-2.0
"""Says why a stream has no fresh sample: silent, or samples come that cannot be used, and why not."""

from typing import Any

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.sensing._joint_buffer import JointBuffer
from dit_policy_ros.core.sensing._streams import DroppedSample, StreamBuffer

_IS_IT_THERE = "; is its publisher running, and is the topic right?"
_FIRST_YEAR_NS = 365 * 24 * 3600 * NANOSECONDS  # no clock of today shows less; a clock since boot does


def never_received(stream: StreamBuffer[Any]) -> str:
    """The message for a stream without any usable sample, with the cause if it is known."""
    counters = stream.counters
    reason = f"{_head(stream)}: nothing received"
    if isinstance(stream, JointBuffer) and (text := stream.missing_text()):
        dropped = stream.dropped_since(None)
        return f"{_head(stream)}: {text}" + (f" There came {_of_dropped(dropped)}" if dropped else "")
    if counters.future:
        remedy = "synchronise the clocks"
        if stream.settings.latency < 0.0:
            latency_key = stream.settings.config_key.replace("max_age", "latency")
            remedy = f"{latency_key} is {stream.settings.latency:g} s: correct it, or {remedy}"
        return f"{reason} but {counters.future} samples from the future; {remedy}"
    if dropped := stream.dropped_since(None):
        return f"{reason} but {_of_dropped(dropped)}"
    if counters.clock_resets:
        return f"{reason} since the clock was set back"
    return f"{reason} yet{_IS_IT_THERE}"


def stale_reason(stream: StreamBuffer[Any], now_ns: int) -> str | None:
    """Why a stream is stale at ``now_ns`` [ns]; None if it is not."""
    stream.drop_if_clock_set_back(now_ns)
    if isinstance(stream, JointBuffer) and (text := stream.conflict(now_ns)):
        return f"{_head(stream)}: {text}"
    newest = stream.newest_stamp_ns
    if newest is None:
        return never_received(stream)
    age = (now_ns - newest) / NANOSECONDS  # [s]
    if age <= stream.max_age:
        return None
    limit = f"{stream.settings.config_key} is {stream.max_age:g} s"
    reason = f"{_head(stream)}: {_late_joints(stream, now_ns)}newest sample is {age:.3f} s old, {limit}"
    arrived = stream.newest_arrival_ns
    if arrived is not None and now_ns - arrived <= stream.max_age * NANOSECONDS:
        return f"{reason}. Samples arrive, but {_of_stamp(newest, now_ns)}"
    if dropped := stream.dropped_since(newest if arrived is None else arrived):
        return f"{reason}. Since then came {_of_dropped(dropped)}"
    return reason


def _head(stream: StreamBuffer[Any]) -> str:
    return f"stream '{stream.name}' ({stream.topic})"


def _late_joints(stream: StreamBuffer[Any], now_ns: int) -> str:
    """The names of the joints that are stale, if others are not."""
    parts = stream.parts if isinstance(stream, JointBuffer) else ()
    late = [part for part in parts if _is_late(part.stream, now_ns)]
    if len(late) == len(parts):
        return ""
    others = (
        f" (a message names {listing(stream.others)})"
        if isinstance(stream, JointBuffer) and stream.others
        else ""
    )
    return f"{listing(name for part in late for name in part.names)}{others}: "


def _is_late(stream: StreamBuffer[Any], now_ns: int) -> bool:
    newest = stream.newest_stamp_ns
    return newest is None or now_ns - newest > stream.max_age * NANOSECONDS


def unusable_reason(stream: StreamBuffer[Any], now_ns: int) -> str | None:
    """Why a stream is stale although its samples arrive: they cannot be used. None if it is not so."""
    dropped = stream.dropped_since(stream.newest_stamp_ns)
    if not dropped or dropped[-1].kind != "refused":
        return None
    arrives = now_ns - dropped[-1].now_ns <= stream.max_age * NANOSECONDS
    return stale_reason(stream, now_ns) if arrives else None


def _of_dropped(dropped: list[DroppedSample]) -> str:
    """How many samples were dropped, and why the last one was."""
    last = dropped[-1]
    count = sum(each.kind == last.kind for each in dropped)
    samples = f"{count} message{'s' * (count > 1)} "
    if last.kind == "refused":
        return f"{samples}that cannot be used: {last.reason}"
    if last.kind == "future":
        return f"{samples}from the future; synchronise the clocks"
    what = "whose stamp was there before" if last.kind == "duplicates" else "that are too old"
    return f"{samples}{what}; {_of_stamp(last.stamp_ns, last.now_ns)}"


def _of_stamp(stamp_ns: int, now_ns: int) -> str:
    """What is wrong with an old stamp of a sample that has just arrived."""
    behind = (now_ns - stamp_ns) / NANOSECONDS  # [s]
    if stamp_ns == 0:
        return "their stamp is 0: the driver does not set header.stamp"
    if 0 <= stamp_ns < _FIRST_YEAR_NS < now_ns:
        return (
            f"their stamps are of another clock (the last is {stamp_ns / NANOSECONDS:.3f} s): the driver "
            "must stamp with the time of ROS, not with the time since the start of computer or camera"
        )
    return (
        f"the last was stamped {behind:.3f} s before it came: does the driver repeat an old stamp, is its "
        "computer's clock behind (chrony), or is the transport slow?"
    )
