# SPDX-License-Identifier: Apache-2.0
"""A slow cable between two network namespaces: it delays, loses and queues Ethernet frames.

It does what `tc netem delay DELAY JITTER loss LOSS rate RATE` does, in both directions, and needs no module
of the kernel but tun. Frames overtake each other when their delays differ, as there.
"""

import argparse
import fcntl
import heapq
import itertools
import os
import random
import selectors
import struct
import time
from dataclasses import dataclass

_TUNSETIFF, _TAP, _NO_HEADER = 0x400454CA, 0x0002, 0x1000
_LARGEST = 65536  # [byte] of a frame
_QUEUE = 1000  # frames under way; netem's default limit
READY = "the cable is plugged in"


@dataclass(frozen=True, slots=True)
class Impairment:
    """What the cable does to each frame, one way.

    delay [s], uniformly ± jitter [s]. loss: share of the frames. rate [bit/s].
    """

    delay: float = 0.02
    jitter: float = 0.005
    loss: float = 0.01
    rate: float = 100e6

    def arguments(self) -> list[str]:
        """Of this program."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return [part for name, value in values.items() for part in (f"--{name}", repr(value))]


class Direction:
    """Frames on their way to one end of the cable.

    Args:
        impairment: what happens to them.
        seed: of the losses and delays.
    """

    def __init__(self, impairment: Impairment, seed: int) -> None:
        self._impairment = impairment
        self._random = random.Random(seed)
        self._free_at = 0.0  # [s] when the last frame has been sent at the cable's rate
        self._under_way: list[tuple[float, int, bytes]] = []  # (when it arrives [s], number, frame)
        self._number = itertools.count()

    def send(self, frame: bytes, now: float) -> None:
        """Take a frame at a time [s]; it may be lost."""
        cable = self._impairment
        if self._random.random() < cable.loss or len(self._under_way) >= _QUEUE:
            return
        self._free_at = max(now, self._free_at) + len(frame) * 8 / cable.rate
        arrival = self._free_at + max(0.0, cable.delay + self._random.uniform(-cable.jitter, cable.jitter))
        heapq.heappush(self._under_way, (arrival, next(self._number), frame))

    def arrived(self, now: float) -> list[bytes]:
        """The frames that have arrived by a time [s]."""
        frames = []
        while self._under_way and self._under_way[0][0] <= now:
            frames.append(heapq.heappop(self._under_way)[2])
        return frames

    @property
    def next_arrival(self) -> float:
        """[s]; infinite if nothing is under way."""
        return self._under_way[0][0] if self._under_way else float("inf")


def open_device(namespace: str, name: str) -> int:
    """Make a network device in a namespace, which this process enters; returns the device's other side."""
    with open(f"/var/run/netns/{namespace}") as file:
        os.setns(file.fileno(), os.CLONE_NEWNET)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP | _NO_HEADER))
    return device


def relay(ends: tuple[int, int], directions: tuple[Direction, Direction]) -> None:
    """Carry frames until the process is killed. directions[k] leads to ends[k]."""
    selector = selectors.DefaultSelector()
    for index, end in enumerate(ends):
        selector.register(end, selectors.EVENT_READ, index)
    while True:
        wait = min(each.next_arrival for each in directions) - time.monotonic()
        for key, _ in selector.select(min(max(wait, 0.0), 1.0)):
            try:
                frame = os.read(key.fd, _LARGEST)
            except OSError:  # this end is down
                continue
            directions[1 - key.data].send(frame, time.monotonic())
        for end, direction in zip(ends, directions, strict=True):
            for frame in direction.arrived(time.monotonic()):
                try:
                    os.write(end, frame)
                except OSError:  # this end is down: the frame is lost, as on a cable that is pulled out
                    continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("namespaces", nargs=2)
    parser.add_argument("--device", required=True, help="its name in both namespaces")
    for name in Impairment.__slots__:
        parser.add_argument(f"--{name}", type=float, required=True)
    options = parser.parse_args()
    impairment = Impairment(**{name: getattr(options, name) for name in Impairment.__slots__})
    first, second = (open_device(each, options.device) for each in options.namespaces)
    print(READY, flush=True)
    relay((first, second), (Direction(impairment, 0), Direction(impairment, 1)))


if __name__ == "__main__":
    main()
