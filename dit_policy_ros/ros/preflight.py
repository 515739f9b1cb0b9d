# SPDX-License-Identifier: Apache-2.0
"""What must be true of the robot before the first command, found all at once."""

import threading
from collections.abc import Callable

import numpy as np

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.observation import ObservationBuilder
from dit_policy_ros.ros.outputs import Outputs

_POLL = 0.02  # [s]
# How far outside its limits a joint may stand: sag and calibration, not a wrong contract [rad or m].
_POSE_TOLERANCE = 0.02


def activation_problems(
    streams: ObservationBuilder,
    contract: Contract,
    outputs: Outputs,
    now_ns: Callable[[], int],
    timeout: float,
    give_up: threading.Event,
) -> list[str]:
    """What keeps the robot from being moved; waits up to ``timeout`` [s] for what is missing to appear.

    Args:
        give_up: ends the wait early, for a process that is asked to end.

    Returns:
        One line per problem with its remedy; empty where activation is safe.
    """
    for _ in range(round(timeout / _POLL)):
        if not _missing(streams, outputs, now_ns) or give_up.wait(_POLL):
            break
    return _missing(streams, outputs, now_ns) + _pose_problems(streams, contract)


def _missing(streams: ObservationBuilder, outputs: Outputs, now_ns: Callable[[], int]) -> list[str]:
    return [
        *streams.stale(now_ns()).values(),
        *(
            f"nobody listens at {address}: is {name} loaded and active (ros2 control list_controllers), and "
            "are its name in 'controllers.names' and its type right?"
            for name, address in outputs.missing().items()
        ),
    ]


def _pose_problems(streams: ObservationBuilder, contract: Contract) -> list[str]:
    sample = streams.joints.newest()
    if sample is None:
        return []  # already listed as a stream that nothing came on
    pose, limits = np.asarray(sample.value), contract.limits  # (A,)
    outside = (pose < limits.position_min - _POSE_TOLERANCE) | (pose > limits.position_max + _POSE_TOLERANCE)
    return [
        f"{contract.joints[i]} stands at {pose[i]:.4g}, outside its limits "
        f"[{limits.position_min[i]:g}, {limits.position_max[i]:g}] (limits.{contract.joints[i]}): "
        f"move it back by hand, or correct the contract"
        for i in np.flatnonzero(outside)
    ]
