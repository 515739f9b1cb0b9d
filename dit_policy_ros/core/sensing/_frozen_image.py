# SPDX-License-Identifier: Apache-2.0
"""Detects a camera that keeps sending the same image with new stamps.

A still scene can give equal images, too. So a camera counts as frozen only if every arm has moved while its
image stayed the same. A robot without arms has no frozen cameras.

A camera may be found frozen by mistake, or show the same for good (a covered lens). The arms hold because of
it and do not move, so its image would never change. `restart` is the way out: an operator has looked, and the
camera counts as frozen again only after every arm has moved once more.
"""

import threading

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import NANOSECONDS, Contract

_MOVED = 0.05  # [rad] an arm has moved if one of its joints has moved this far


class FrozenImageDetector:
    """Compares the fingerprints of successive images; thread-safe."""

    def __init__(self, contract: Contract, cameras: tuple[str, ...], frozen_after: float) -> None:
        """Watch some cameras.

        Args:
            contract: arms and topics.
            cameras: names of the cameras.
            frozen_after: how long an image must stay the same to count as frozen [s]; 0 turns this off.
        """
        self._after_ns = round(frozen_after * NANOSECONDS)
        self._topics = {name: contract.camera(name).topic for name in cameras}
        self._arms = [contract.indices(each) for each in contract.controllers if not each.gripper]
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, int, int]] = {}  # fingerprint, first and last stamp [ns]
        self._moved: dict[str, NDArray[np.bool_]] = {}  # which arms have moved since the first
        self._poses: dict[str, NDArray[np.float64]] = {}  # (A,) at the first

    def update(self, camera: str, stamp_ns: int, fingerprint: int, pose: NDArray[np.float64] | None) -> None:
        """Add an image: its stamp [ns], a hash of its data, and the pose (A,) measured then, if any."""
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
            moved = [bool((distance[arm] > _MOVED).any()) for arm in self._arms]
            self._moved[camera] |= np.array(moved, dtype=bool)

    def restart(self) -> None:
        """Judge by the images and the motion from now on alone."""
        with self._lock:
            self._seen.clear()

    def frozen(self) -> dict[str, str]:
        """By name of the frozen cameras, the message for the operator."""
        with self._lock:
            return {
                name: (
                    f"stream '{name}' ({self._topics[name]}): the image has been the same for "
                    f"{(until_ns - since_ns) / NANOSECONDS:.1f} s while all arms moved; restart the camera's "
                    "driver. If its image is right, ~/resume goes on until all arms have moved again; set "
                    "frozen_after to 0 if the camera does not see the arms"
                )
                for name, (_, since_ns, until_ns) in self._seen.items()
                if until_ns - since_ns > self._after_ns and self._arms and self._moved[name].all()
            }
