# SPDX-License-Identifier: Apache-2.0
import math

import pytest

from dit_policy_ros.core.statistics import RecentRate, RecentValues


def test_percentiles_are_of_the_recent_values_only():
    values = RecentValues(size=3)
    assert math.isnan(values.percentile(50)) and math.isnan(values.newest)
    for value in (100.0, 1.0, 2.0, 3.0):
        values.add(value)
    assert (values.percentile(50), values.newest) == (2.0, 3.0)


def test_the_rate_ignores_events_before_the_window():
    rate = RecentRate(window=1.0)
    for i in range(11):
        rate.add(i * 100_000_000)
    assert rate.rate(1_000_000_000) == pytest.approx(10.0)
    assert rate.rate(5_000_000_000) == 0.0
