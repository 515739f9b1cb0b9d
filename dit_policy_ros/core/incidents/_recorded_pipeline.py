# SPDX-License-Identifier: Apache-2.0
"""A pipeline that writes down every call, and the replay of what was written down."""

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
_NUMPY = {"_frombuffer", "_reconstruct", "dtype", "ndarray", "scalar"}  # what arrays are pickled with


def _recorded[M: Callable[..., Any]](method: M) -> M:
    """The method, put into the ring with what it was given and what came of it."""

    @functools.wraps(method)
    def recorded(self: "RecordedPipeline", *arguments: Any, **options: Any) -> Any:
        ring = self.ring
        if self.is_recording or not ring.enabled:  # a method may call another: the outer one counts
            return method(self, *arguments, **options)
        state = self.state_bytes() if ring.wants_state() else None
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
            ring.called(MotionCall(method.__name__, arguments, options, plan, error), state)

    return cast(M, recorded)


class RecordedPipeline(Pipeline):
    """Behaves as Pipeline does, and puts every call that changes what it will answer into a ring.

    A test compares the methods listed here with those of Pipeline.
    """

    start = _recorded(Pipeline.start)
    add_chunk = _recorded(Pipeline.add_chunk)
    extend = _recorded(Pipeline.extend)
    slow_down = _recorded(Pipeline.slow_down)
    flush = _recorded(Pipeline.flush)
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
        super().__init__(joints, limits, period_ns, settings)
        self.ring = ring
        self.is_recording = False

    def state_bytes(self) -> bytes:
        """The state of the pipeline proper, as ``repeat`` needs it."""
        own = ("ring", "is_recording")
        return pickle.dumps({name: value for name, value in vars(self).items() if name not in own})


@dataclass(frozen=True, slots=True, eq=False)
class Repeated:
    """A recorded call and what came of it when it was made again."""

    call: MotionCall
    plan: Plan | None
    error: str

    @property
    def identical(self) -> bool:
        """Whether the outcome is the recorded one, bit for bit."""
        then, now = self.call.plan, self.plan
        if then is None or now is None:
            return then is now and self.error == self.call.error
        fields = ("times_ns", "positions", "velocities")
        return all(getattr(then, name).tobytes() == getattr(now, name).tobytes() for name in fields)


def repeat(segments: Sequence[MotionSegment]) -> Iterator[Repeated]:
    """Make every recorded call again, from the state before the first one on.

    Raises:
        IncidentError: the state is not one of this package's pipeline.
    """
    if not segments:
        return
    pipeline = Pipeline.__new__(Pipeline)
    vars(pipeline).update(loads(segments[0].state))
    for call in (call for segment in segments for call in segment.calls):
        plan, error = None, ""
        try:
            result = getattr(pipeline, call.method)(*call.arguments, **call.options)
            plan = result if isinstance(result, Plan) else None
        except PlanRejected as rejected:
            error = str(rejected)
        yield Repeated(call, plan, error)


def loads(data: bytes) -> Any:
    """Unpickle what an incident holds: plain values, arrays and this package's own data, nothing else.

    Incidents are sent around, and a pickle can name any function of any module to be called.

    Raises:
        IncidentError: it is damaged, names something else, or was written by an incompatible version.
    """
    try:
        return _OwnData(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, IndexError, TypeError) as error:
        raise IncidentError(f"the recorded motion cannot be read: {error}") from error


class _OwnData(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        ours = module.startswith(_CORE) and "." not in name
        arrays = module.split(".")[0] == "numpy" and name in _NUMPY
        found = super().find_class(module, name) if ours or arrays else None
        if arrays or (isinstance(found, type) and found.__module__.startswith(_CORE)):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into an incident")
