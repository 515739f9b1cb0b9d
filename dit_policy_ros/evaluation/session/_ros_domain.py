# SPDX-License-Identifier: Apache-2.0
"""Claims a ROS domain that nobody else on this machine uses, for programs that must not be disturbed."""

import contextlib
import random
import socket
from collections.abc import Iterator

HIGHEST_SAFE_DOMAIN = 101  # above it, DDS ports reach into Linux's ephemeral range

# RTPS 2.5, section 9.6.2.3: port = 7400 + 250 * domain + offset
PORT_BASE, DOMAIN_GAIN = 7400, 250
MULTICAST_OFFSET = 0
FIRST_PARTICIPANT_OFFSET = 10
CLAIM_OFFSET = 9  # no participant ever binds offsets 2 to 9, so this one can say "taken"


def _bind(port: int, host: str) -> socket.socket | None:
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        held.bind((host, port))
    except OSError:
        held.close()
        return None
    return held


def _in_use(domain: int) -> bool:
    for offset in (MULTICAST_OFFSET, FIRST_PARTICIPANT_OFFSET):
        probe = _bind(PORT_BASE + DOMAIN_GAIN * domain + offset, "0.0.0.0")
        if probe is None:
            return True
        probe.close()
    return False


@contextlib.contextmanager
def claimed_domain() -> Iterator[int]:
    """Yields a free domain id and keeps it until the block ends.

    The claim is a bound UDP port: other claimants see it at once, and it vanishes with the process.

    Raises:
        RuntimeError: all domains are taken.
    """
    candidates = list(range(1, HIGHEST_SAFE_DOMAIN + 1))
    random.SystemRandom().shuffle(candidates)  # claimants that start together do not queue up at one id
    for domain in candidates:
        claim = _bind(PORT_BASE + DOMAIN_GAIN * domain + CLAIM_OFFSET, "127.0.0.1")
        if claim is None:
            continue
        with claim:
            if not _in_use(domain):
                yield domain
                return
    raise RuntimeError(f"every ROS domain from 1 to {HIGHEST_SAFE_DOMAIN} is in use on this machine")
