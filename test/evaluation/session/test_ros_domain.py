# SPDX-License-Identifier: Apache-2.0
import contextlib
import socket

import pytest

from dit_policy_ros.evaluation.session import _ros_domain as domain
from dit_policy_ros.evaluation.session._ros_domain import claimed_domain


def test_claimed_domains_differ():
    with contextlib.ExitStack() as stack:
        claimed = [stack.enter_context(claimed_domain()) for _ in range(20)]
    assert len(set(claimed)) == 20
    assert all(1 <= each <= domain.HIGHEST_SAFE_DOMAIN for each in claimed)


@pytest.mark.parametrize("offset", [0, 10], ids=["multicast", "participant"])
def test_a_domain_with_a_participant_is_not_claimed(monkeypatch, offset):
    with claimed_domain() as only:
        pass
    monkeypatch.setattr(domain, "range", lambda *_: [only], raising=False)  # the one candidate
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("0.0.0.0", 7400 + 250 * only + offset))
        with pytest.raises(RuntimeError, match="in use"), claimed_domain():
            pass
    with claimed_domain() as again:
        assert again == only
