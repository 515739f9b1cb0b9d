# SPDX-License-Identifier: Apache-2.0
"""Claims a ROS domain that no other program on this machine uses."""

import contextlib
import random
import re
import socket
from collections.abc import Iterator
from pathlib import Path

HIGHEST_SAFE_DOMAIN = 101  # above it, DDS ports reach into Linux's ephemeral range

# RTPS 2.5, section 9.6.2.3: port = 7400 + 250 * domain + offset
PORT_BASE, DOMAIN_GAIN = 7400, 250
MULTICAST_OFFSET = 0
FIRST_PARTICIPANT_OFFSET = 10
SHARED_MEMORY = Path("/dev/shm")  # where Fast DDS keeps a file per port, fastdds_port<port>
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


def _with_leftovers() -> set[int]:
    """Domains whose shared-memory ports were left behind by a killed process."""
    ports = (
        re.fullmatch(r"fast(?:dds|rtps)_port(\d+)", path.name) for path in SHARED_MEMORY.glob("fast*_port*")
    )
    return {(int(port[1]) - PORT_BASE) // DOMAIN_GAIN for port in ports if port}


@contextlib.contextmanager
def claimed_domain() -> Iterator[int]:
    """Yields a free domain id and keeps it claimed until the block ends.

    The claim is a bound UDP port: other programs that claim a domain see it at once, and the kernel releases
    it when the process ends. Domains in which a killed process left shared-memory ports come last, so that
    new participants do not start on ports in an unknown state.

    Raises:
        RuntimeError: all domains are in use.
    """
    candidates = list(range(1, HIGHEST_SAFE_DOMAIN + 1))
    random.SystemRandom().shuffle(candidates)  # programs that start together do not try the same id first
    leftovers = _with_leftovers()
    candidates.sort(key=lambda domain: domain in leftovers)
    for domain in candidates:
        claim = _bind(PORT_BASE + DOMAIN_GAIN * domain + CLAIM_OFFSET, "127.0.0.1")
        if claim is None:
            continue
        with claim:
            if not _is_in_use(domain):
                yield domain
                return
    raise RuntimeError(f"every ROS domain from 1 to {HIGHEST_SAFE_DOMAIN} is in use on this machine")
