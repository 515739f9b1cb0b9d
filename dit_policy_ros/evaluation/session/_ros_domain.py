# SPDX-License-Identifier: Apache-2.0
"""Claims a ROS domain that no other program on this machine uses."""

import contextlib
import random
import socket
from collections.abc import Iterator

HIGHEST_SAFE_DOMAIN = 101  # above it, DDS ports reach into Linux's ephemeral range

# RTPS 2.5, section 9.6.2.3: port = 7400 + 250 * domain + offset
PORT_BASE, DOMAIN_GAIN = 7400, 250
MULTICAST_OFFSET = 0
FIRST_PARTICIPANT_OFFSET = 10
CLAIM_OFFSET = 9  # no participant binds offsets 2 to 9, so a socket bound here marks the domain as claimed


def _bind(port: int, host: str) -> socket.socket | None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        return None
    return bound


def _is_in_use(domain: int) -> bool:
    for offset in (MULTICAST_OFFSET, FIRST_PARTICIPANT_OFFSET):
        probe = _bind(PORT_BASE + DOMAIN_GAIN * domain + offset, "0.0.0.0")
        if probe is None:
            return True
        probe.close()
    return False


@contextlib.contextmanager
def claimed_domain() -> Iterator[int]:
    """Yields a free domain id and keeps it claimed until the block ends.

    The claim is a bound UDP port: other programs that claim a domain see it at once, and the kernel releases
    it when the process ends.

    Raises:
        RuntimeError: all domains are in use.
    """
    candidates = list(range(1, HIGHEST_SAFE_DOMAIN + 1))
    random.SystemRandom().shuffle(candidates)  # programs that start together do not all try the same id first
    for domain in candidates:
        claim = _bind(PORT_BASE + DOMAIN_GAIN * domain + CLAIM_OFFSET, "127.0.0.1")
        if claim is None:
            continue
        with claim:
            if not _is_in_use(domain):
                yield domain
                return
    raise RuntimeError(f"every ROS domain from 1 to {HIGHEST_SAFE_DOMAIN} is in use on this machine")
