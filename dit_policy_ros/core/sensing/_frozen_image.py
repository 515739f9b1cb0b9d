# SPDX-License-Identifier: Apache-2.0
"""Notices a camera that goes on sending the same picture, with new stamps.

A still scene gives equal pictures, too, at least without noise. So a camera counts as frozen only when every
arm has moved while nothing in its picture has.
"""

import threading

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import NANOSECONDS, Contract

_MOVED = 0.05  # [rad] by at least one joint of an arm


class FrozenImageDetector:
    """Compares fingerprints of successive pictures; thread-safe."""

    def __init__(self, contract: Contract, cameras: tuple[str, ...], frozen_after: float) -> None:
        """frozen_after: so long must a picture stay the same [s]; 0 never finds anything."""
        self._after_ns = round(frozen_after * NANOSECONDS)
        self._topics = {name: contract.camera(name).topic for name in cameras}
        self._arms = [contract.indices(each) for each in contract.controllers if not each.gripper]
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, int, int]] = {}  # fingerprint, since [ns], until [ns]
        self._moved: dict[str, NDArray[np.bool_]] = {}  # which arms have moved since
        self._poses: dict[str, NDArray[np.float64]] = {}  # (A,) at the beginning

    def see(self, camera: str, stamp_ns: int, fingerprint: int, pose: NDArray[np.float64] | None) -> None:
        """A picture taken at ``stamp_ns``, and the pose (A,) measured then, if there is one."""
        if not self._after_ns or pose is None:
            return
        with self._lock:
            seen = self._seen.get(camera)
            if seen is None or seen[0] != fingerprint or stamp_ns < seen[1]:
                self._seen[camera] = (fingerprint, stamp_ns, stamp_ns)
                self._poses[camera], self._moved[camera] = pose, np.zeros(len(self._arms), bool)
                return
            self._seen[camera] = (fingerprint, seen[1], stamp_ns)
            distance = np.abs(pose - self._poses[camera])  # (A,)
            self._moved[camera] |= [bool((distance[arm] > _MOVED).any()) for arm in self._arms]

    def frozen(self) -> dict[str, str]:
        """The cameras whose picture is frozen, and what to say about it."""
        with self._lock:
            return {
                name: (
                    f"stream '{name}' ({self._topics[name]}): the picture has been the same for "
                    f"{(until_ns - since_ns) / NANOSECONDS:.1f} s while all arms moved; restart the camera's "
                    "driver, or set frozen_after to 0 if it sees no arm"
                )
                for name, (_, since_ns, until_ns) in self._seen.items()
                if until_ns - since_ns > self._after_ns and self._moved[name].all()
            }
