# SPDX-License-Identifier: Apache-2.0
import pytest
from motion_helpers import T0_NS

from dit_policy_ros.core.sensing import ClockJumpDetector

MS = 1_000_000
SECOND = 1000 * MS


def run(
    detector: ClockJumpDetector, rate: float = 1.0, updates: int = 50, step_ns: int = 20 * MS
) -> tuple[int, int]:
    """Updates with clocks that run correctly; returns their last times."""
    for k in range(updates):
        now_ns, steady_ns = T0_NS + round(k * step_ns * rate), 7 * SECOND + k * step_ns
        assert detector.update(now_ns, steady_ns) is None
    return now_ns, steady_ns


@pytest.mark.parametrize("by", [5.0, -5.0, 0.2, -0.2])
def test_setting_the_clock_is_a_jump_of_that_size(by):
    detector = ClockJumpDetector(simulated=False)
    now_ns, steady_ns = run(detector)
    jump = detector.update(now_ns + 20 * MS + round(by * SECOND), steady_ns + 20 * MS)
    assert jump is not None and jump.by_ns == round(by * SECOND)
    assert jump.expected_ns == now_ns + 20 * MS
    assert f"set {'ahead' if by > 0 else 'back'} by {abs(by):.3f} s" in str(jump)
    assert detector.update(now_ns + 40 * MS + round(by * SECOND), steady_ns + 40 * MS) is None, (
        "reported once"
    )


def test_stalls_and_slewing_are_no_jumps():
    detector = ClockJumpDetector(simulated=False)
    now_ns, steady_ns = run(detector, rate=1.0005)
    assert detector.update(now_ns + 3 * SECOND, steady_ns + 3 * SECOND) is None


def test_a_small_step_back_is_a_jump_only_if_it_leads_to_before_the_active_plan():
    for by, begin, is_jump in (
        (50, 40, True),
        (50, 60, False),
        (5, 4, True),
        (1, 0, False),
        (150, 500, True),
    ):
        detector = ClockJumpDetector(simulated=False)
        now_ns, steady_ns = run(detector)
        before_ns = now_ns + (20 - begin) * MS
        jump = detector.update(now_ns + (20 - by) * MS, steady_ns + 20 * MS, before_ns)
        assert (jump is not None) is is_jump, (by, begin)
        assert jump is None or jump.by_ns == -by * MS


@pytest.mark.parametrize("rate", [0.1, 1.0, 10.0])
def test_simulated_time_may_run_at_any_rate_and_pause(rate):
    detector = ClockJumpDetector(simulated=True)
    now_ns, steady_ns = run(detector, rate)
    assert detector.update(now_ns, steady_ns + 10 * SECOND) is None
    assert detector.stopped_for(steady_ns + 10 * SECOND) == pytest.approx(10.0)
    assert detector.update(now_ns + MS, steady_ns + 10 * SECOND) is None
    assert detector.stopped_for(steady_ns + 10 * SECOND) == 0.0


@pytest.mark.parametrize("by", [5.0, -5.0, -0.01])
def test_a_step_of_simulated_time_is_a_jump(by):
    detector = ClockJumpDetector(simulated=True)
    now_ns, steady_ns = run(detector)
    jump = detector.update(now_ns + round(by * SECOND), steady_ns + 20 * MS)
    assert jump is not None and jump.by_ns == round(by * SECOND) and jump.expected_ns == now_ns
