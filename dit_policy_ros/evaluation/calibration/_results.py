# SPDX-License-Identifier: Apache-2.0
"""From recordings to latencies: one of each controller, and one of each camera."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dit_policy_ros.core.calibration import (
    ARM_SEARCH,
    CAMERA_SEARCH,
    Lag,
    arm_latency,
    camera_latency,
)
from dit_policy_ros.core.errors import CalibrationError
from dit_policy_ros.evaluation.calibration._measurement import Measurement

_CLOCKS = 0.002  # [s] clocks of two computers may differ


@dataclass(frozen=True, slots=True)
class Latencies:
    """What was measured, and what was refused.

    Attributes:
        controllers, cameras: the lags that can be trusted, by name.
        refused: why others cannot, by the name of the controller or camera.
        seen_by: which controller's motion a camera was measured with, by camera.
    """

    controllers: dict[str, Lag] = field(default_factory=dict)
    cameras: dict[str, Lag] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    seen_by: dict[str, str] = field(default_factory=dict)


def evaluate(measurements: Sequence[Measurement]) -> Latencies:
    """The latencies. A camera that saw several arms move counts with the most certain one."""
    results = Latencies()
    for each in measurements:
        try:
            lag = arm_latency(each.commanded, each.measured, each.controller, ARM_SEARCH)
            if lag.seconds < -(lag.uncertainty + _CLOCKS):
                raise CalibrationError(
                    f"{each.controller} moved {-lag.seconds * 1e3:.0f} ms before its commands: the clock "
                    "that stamps the joint states is behind this computer's. Synchronise them (chrony)"
                )
            results.controllers[each.controller] = lag
        except CalibrationError as error:
            results.refused[each.controller] = str(error)
    for camera in dict.fromkeys(name for each in measurements for name in (*each.seen, *each.problems)):
        _add_camera(camera, measurements, results)
    return results


def _add_camera(camera: str, measurements: Sequence[Measurement], results: Latencies) -> None:
    reasons = []
    for each in measurements:
        try:
            if camera not in each.seen:
                raise CalibrationError(each.problems.get(camera, f"camera {camera} was not watched"))
            lag = camera_latency(each.seen[camera], each.measured, camera, CAMERA_SEARCH)
        except CalibrationError as error:
            reasons.append(f"with {each.controller}: {error}")
            continue
        best = results.cameras.get(camera)
        if best is None or lag.uncertainty < best.uncertainty:
            results.cameras[camera], results.seen_by[camera] = lag, each.controller
    if camera not in results.cameras:
        results.refused[camera] = "; ".join(reasons)
