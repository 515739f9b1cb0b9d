# SPDX-License-Identifier: Apache-2.0
"""A pipeline that records every call, and the replay of recorded calls."""

import functools
import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.errors import IncidentError, PlanRejected
from dit_policy_ros.core.incidents._incident import IncidentRing, MotionCall, MotionSegment
from dit_policy_ros.core.motion import MotionSettings, Pipeline, Plan

_CORE = "dit_policy_ros.core."
_NUMPY = {"_frombuffer", "_reconstruct", "dtype", "ndarray", "scalar"}  # needed to unpickle arrays


def _recorded[M: Callable[..., Any]](method: M) -> M:
    """The method, with its arguments and its result added to the ring."""

    @functools.wraps(method)
    def recorded(self: "RecordedPipeline", *arguments: Any, **options: Any) -> Any:
        ring = self.ring
        if self.is_recording or not ring.enabled:  # of nested calls only the outer one is recorded
            return method(self, *arguments, **options)
        state = self.state_bytes() if ring.needs_state() else None
        plan, error = None, ""
        self.is_recording = True
        try:
            result = method(self, *arguments, **options)
            plan = result if isinstance(result, Plan) else None
            return result
        except PlanRejected as rejected:
            error = str(rejected)
            raise
        finally:
            self.is_recording = False
            ring.add_call(MotionCall(method.__name__, arguments, options, plan, error), state)

    return cast(M, recorded)


class RecordedPipeline(Pipeline):
    """A Pipeline that records every call that changes its state.

    A test compares the methods listed here with those of Pipeline.
    """

    start = _recorded(Pipeline.start)
    add_chunk = _recorded(Pipeline.add_chunk)
    extend = _recorded(Pipeline.extend)
    set_velocity_scale = _recorded(Pipeline.set_velocity_scale)
    change_task = _recorded(Pipeline.change_task)
    take_over = _recorded(Pipeline.take_over)
    lead = _recorded(Pipeline.lead)
    hand_back = _recorded(Pipeline.hand_back)
    hold = _recorded(Pipeline.hold)
    resume = _recorded(Pipeline.resume)

    def __init__(
        self,
        joints: tuple[str, ...],
        limits: Limits,
        period_ns: int,
        settings: MotionSettings,
        ring: IncidentRing,
    ) -> None:
        """Create a pipeline that records into ``ring``; the other arguments are those of Pipeline."""
        super().__init__(joints, limits, period_ns, settings)
        self.ring = ring
        self.is_recording = False

    def state_bytes(self) -> bytes:
        """The pickled state of the pipeline, without the recording, for ``replay_calls``."""
        recording = ("ring", "is_recording")
        return pickle.dumps({name: value for name, value in vars(self).items() if name not in recording})


@dataclass(frozen=True, slots=True, eq=False)
class ReplayedCall:
    """A recorded call and the result of repeating it."""

    call: MotionCall
    plan: Plan | None
    error: str

    @property
    def identical(self) -> bool:
        """Whether the result is the recorded one, bit for bit."""
        recorded, replayed = self.call.plan, self.plan
        if recorded is None or replayed is None:
            return recorded is replayed and self.error == self.call.error
        fields = ("times_ns", "positions", "velocities")
        return all(getattr(recorded, name).tobytes() == getattr(replayed, name).tobytes() for name in fields)


def replay_calls(segments: Sequence[MotionSegment]) -> Iterator[ReplayedCall]:
    """Repeat all recorded calls, starting from the saved state before the first one.

    Raises:
        IncidentError: the saved state is damaged or was written by an incompatible version.
    """
    if not segments:
        return
    pipeline = Pipeline.__new__(Pipeline)
    vars(pipeline).update(unpickle(segments[0].state))
    for call in (call for segment in segments for call in segment.calls):
        plan, error = None, ""
        try:
            result = getattr(pipeline, call.method)(*call.arguments, **call.options)
            plan = result if isinstance(result, Plan) else None
        except PlanRejected as rejected:
            error = str(rejected)
        yield ReplayedCall(call, plan, error)


def unpickle(data: bytes) -> Any:
    """Unpickle a part of an incident; only plain values, arrays and this package's own classes are allowed.

    Users send incidents to each other, and an arbitrary pickle could run any code.

    Raises:
        IncidentError: the data are damaged, contain anything else, or are from an incompatible version.
    """
    try:
        return _RestrictedUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, IndexError, TypeError) as error:
        raise IncidentError(f"the recorded motion cannot be read: {error}") from error


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        ours = module.startswith(_CORE) and "." not in name
        arrays = module.split(".")[0] == "numpy" and name in _NUMPY
        found = super().find_class(module, name) if ours or arrays else None
        if arrays or (isinstance(found, type) and found.__module__.startswith(_CORE)):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in an incident")
