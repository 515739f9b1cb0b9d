# SPDX-License-Identifier: Apache-2.0
import pytest

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.motion import check_pacing

GOOD = {
    "latency_p95": 0.05,
    "chunk_duration": 1.0,
    "dt": 1 / 30,
    "fade_knots": 5,
    "replan_interval": 0.1,
    "plan_horizon": 0.5,
}


def test_a_fast_policy_is_accepted():
    check_pacing(**GOOD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"latency_p95": 1.3},
            r"too slow.*1.300 s.*1.533 s.*lasts 1.000 s.*num_inference_steps",
        ),
        ({"latency_p95": float("nan")}, "a chunk would end before it can be used"),
        ({"latency_p95": 0.3}, r"end before the next one arrives.*0.667 s.*plan_horizon is 0.5 s"),
        ({"replan_interval": 0.45}, "end before the next one arrives"),
    ],
)
def test_a_policy_that_is_too_slow_is_refused_with_the_figures(changes, message):
    with pytest.raises(DitPolicyError, match=message):
        check_pacing(**(GOOD | changes))
