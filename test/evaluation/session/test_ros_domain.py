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


def test_domains_with_leftovers_of_killed_processes_come_last(monkeypatch, tmp_path):
    with claimed_domain() as clean, claimed_domain() as used:
        pass
    (tmp_path / f"fastdds_port{7400 + 250 * used + 11}").touch()
    (tmp_path / f"sem.fastdds_port{7400 + 250 * clean + 11}_mutex").touch()  # not a port
    monkeypatch.setattr(domain, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(domain, "range", lambda *_: [used, clean], raising=False)  # the two candidates
    for _ in range(10):
        with claimed_domain() as claimed:
            assert claimed == clean
    with claimed_domain(), claimed_domain() as claimed:
        assert claimed == used
