# SPDX-License-Identifier: Apache-2.0
"""A motion counts only if the policy node has said, until after its end, that the arms followed it."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from dit_policy_ros.core.errors import CalibrationError
from dit_policy_ros.evaluation.calibration import _measurement
from dit_policy_ros.evaluation.calibration._measurement import CalibrationSettings, _Run
from dit_policy_ros.msg import PolicyStatus

SPIN = 0.02  # [s] of one spin without a message
STATUS_EVERY = 5  # spins
DURATION = 4.0  # [s] of the motion
RUNNING = PolicyStatus(state=PolicyStatus.RUNNING)
HOLD = PolicyStatus(state=PolicyStatus.HOLD, hold_reason="stale", hold_recoverable=True)


class World:
    """Session, clock and arms at once; `says` maps a time [s] to the policy node's status, None: silence.

    stalls: at this time [s] the program itself is stopped for 5 s, and the statuses wait.
    """

    def __init__(self, says, stalls=float("inf")):
        self.says, self.stalls, self.now = says, stalls, 0.0
        self.children = (SimpleNamespace(name="calibration", alive=True),)
        self.node, self.queued, self.transitions = self, [], []
        self.motions = self.spins = 0

    def create_subscription(self, _type, _topic, callback, _qos):
        self.hear = callback

    def spin_once(self):
        if not self.queued:
            spins, self.stalls = (250, float("inf")) if self.now >= self.stalls else (1, self.stalls)
            for _ in range(spins):
                self.now += SPIN
                self.spins += 1
                if self.spins % STATUS_EVERY == 0 and (status := self.says(self.now)) is not None:
                    self.queued.append(status)
        if self.queued:
            self.hear(self.queued.pop(0))

    def spin_until(self, condition, timeout):
        deadline = self.now + timeout
        while not condition():
            if self.now > deadline:
                return False
            self.spin_once()
        return True

    def change_state(self, transition, _node):
        self.transitions.append(transition)

    def monotonic(self):
        return self.now

    # --- the node that gives the chunks ---

    joints = SimpleNamespace(newest_stamp_ns=1, topic="joint_states")

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=round(self.now * 1e9)))

    def begin(self, _motion, _margin):
        self.motions += 1
        return round(self.now * 1e9)

    def stand(self):
        pass


def run(monkeypatch, tmp_path, says, **options):
    world = World(says, **options)
    monkeypatch.setattr(_measurement, "time", world)
    made = _Run(world, world, CalibrationSettings(tmp_path), lambda _: None)
    made.bring_up()
    return world, made, SimpleNamespace(duration=DURATION)


def test_a_motion_that_the_policy_node_watched_to_its_end_counts(monkeypatch, tmp_path):
    world, made, motion = run(monkeypatch, tmp_path, lambda _: RUNNING)
    assert made._moved("arm", motion) <= world.now * 1e9 and world.motions == 1
    made.end()
    assert len(world.transitions) == 3


@pytest.mark.parametrize("silent_from", [0.5, 4.0, 8.0])  # while it settles, within, shortly before the end
def test_a_policy_node_that_becomes_silent_ends_the_calibration(monkeypatch, tmp_path, silent_from):
    world, made, motion = run(monkeypatch, tmp_path, lambda t: RUNNING if t < silent_from else None)
    with pytest.raises(CalibrationError, match=r"has sent no status for 2.*nothing was measured"):
        made._moved("arm", motion)
    assert world.now < silent_from + 3.0
    made.end()  # nobody waits for an answer
    assert len(world.transitions) == 2


def test_silence_after_a_hold_is_no_hold_that_ends_by_itself(monkeypatch, tmp_path):
    def says(t):
        return RUNNING if t < 3.0 else HOLD if t < 3.2 else None

    world, made, motion = run(monkeypatch, tmp_path, says)
    with pytest.raises(CalibrationError, match="no status"):
        made._moved("arm", motion)
    assert world.motions == 1 and world.now < 7.0


def test_a_hold_in_the_last_moment_is_noticed_and_the_motion_is_made_again(monkeypatch, tmp_path):
    ends = 0.1 + 2.0 + DURATION + 2.0  # [s] one motion with its margins

    def says(t):
        return HOLD if ends - 0.05 < t < ends + 1.0 else RUNNING

    world, made, motion = run(monkeypatch, tmp_path, says)
    made._moved("arm", motion)
    assert world.motions == 2


def test_a_program_that_was_stopped_itself_blames_nobody(monkeypatch, tmp_path):
    world, made, motion = run(monkeypatch, tmp_path, lambda _: RUNNING, stalls=3.0)
    made._moved("arm", motion)
    assert world.motions == 1


def test_a_node_that_never_says_anything_is_named(monkeypatch, tmp_path):
    with pytest.raises(CalibrationError, match="has sent no status"):
        run(monkeypatch, tmp_path, lambda _: None)
