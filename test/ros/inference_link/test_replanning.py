# SPDX-License-Identifier: Apache-2.0
"""Which chunk is wanted next, by the stamp of the last answer's observation."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from dit_policy_ros.core.motion import Chunk
from dit_policy_ros.ros.inference_link._replanning import Replanning, ReplanSettings

PERIOD_NS, MS = 33_333_333, 1_000_000
NOW_NS = 1_790_000_000_000_000_000


def answered(stamp_ns, now_ns=NOW_NS):
    """What is wanted after an answer of this stamp."""
    motion = SimpleNamespace(wants_chunks=True, epoch=1, earliest_observation=lambda _: 0)
    settings = ReplanSettings(PERIOD_NS, 0.1, 1.0, encode_on_arrival=False)
    replanning = Replanning(motion, settings, 1, lambda: now_ns)
    before = replanning.wish("wave")
    replanning.add_chunk(Chunk(stamp_ns, PERIOD_NS, np.zeros((10, 2))), 1, now_ns)
    return before, replanning.wish("wave")


@pytest.mark.parametrize("ahead", [-200, -1, 0, 8, 90])
def test_the_next_observation_is_an_interval_after_the_last_also_if_its_stamp_is_ahead_of_our_clock(ahead):
    """By other computers' clocks and by simulated time, stamps can be a little ahead."""
    stamp_ns = NOW_NS + ahead * MS
    before, wish = answered(stamp_ns)
    assert wish.earliest_ns == stamp_ns + 100 * MS - PERIOD_NS // 2
    assert wish != before, "so that it is asked for"


def test_after_the_clock_was_set_back_any_observation_will_do():
    _, wish = answered(NOW_NS + 500 * MS)
    assert wish.earliest_ns == 0
