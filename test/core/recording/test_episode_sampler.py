# SPDX-License-Identifier: Apache-2.0
"""The frames of an episode have one rate, wait for their samples, and report missing ones."""

import numpy as np
import pytest
from contracts import SMALL_CONTRACT, small_mapping

from dit_policy_ros.core.contract import Contract, parse_contract
from dit_policy_ros.core.errors import StaleObservation, StreamError
from dit_policy_ros.core.recording import EpisodeSampler
from dit_policy_ros.core.sensing import ObservationBuilder

MS = 1_000_000
SECOND = 1000 * MS
START = 1_700_000_000 * SECOND


class SimulatedStreams:
    """Two cameras at 30 Hz, joints at 100 Hz and a command that equals the time, in simulated time."""

    def __init__(self, late_ms: int = 8, contract: Contract = SMALL_CONTRACT) -> None:
        self.contract = contract
        self.streams = ObservationBuilder(contract, margin=2.0)
        self.now = START
        self.late = late_ms * MS  # from stamp to arrival
        self.silent: dict[str, tuple[int, int]] = {}  # stream: from, to [ns]
        self.image_period = dict.fromkeys(self.streams.images, SECOND / 30)
        self._next_image = dict.fromkeys(self.streams.images, 0)
        self._next_joints = START
        self.action_latency = 0
        self.first_command = START
        self.stale_actions: set[int] = set()

    def at(self, time_ns: int) -> np.ndarray | None:
        return None if time_ns < self.first_command else np.full(3, (time_ns - START) / SECOND)

    def is_settled(self, time_ns: int, now_ns: int) -> bool:
        return now_ns >= time_ns + self.action_latency

    @property
    def command_streams(self) -> dict:
        return {}

    def is_fresh(self, time_ns: int) -> bool:
        return time_ns not in self.stale_actions

    def missing(self, now_ns: int) -> dict[str, str]:
        return {}

    def clear(self) -> None:
        raise AssertionError("the sampler clears nothing")

    def run(self, duration_ms: int, sampler: EpisodeSampler | None = None) -> list:
        frames = []
        for _ in range(duration_ms):
            self.now += MS
            self._deliver()
            while sampler is not None and (frame := sampler.poll(self.now)) is not None:
                frames.append(frame)
        return frames

    def _deliver(self) -> None:
        for name, stream in self.streams.images.items():
            while (
                stamp := START + round(self._next_image[name] * self.image_period[name])
            ) <= self.now - self.late:
                if not self._is_silent(name, stamp):
                    stream.push(stamp, f"{name} {self._next_image[name]}", self.now)
                self._next_image[name] += 1
        while self._next_joints <= self.now - self.late:
            if not self._is_silent("joint_states", self._next_joints):
                value = np.full(3, 2.0 * (self._next_joints - START) / SECOND)
                self.streams.joints.push(self._next_joints, value, self.now)
            self._next_joints += 10 * MS

    def _is_silent(self, name: str, stamp: int) -> bool:
        begin, end = self.silent.get(name, (0, 0))
        return begin <= stamp < end

    def begin(self) -> EpisodeSampler:
        return EpisodeSampler(self.contract, self.streams, self, self.now)


def test_frames_are_on_the_grid_with_their_own_image_state_and_action() -> None:
    world = SimulatedStreams()
    world.run(500)
    sampler = world.begin()
    first = sampler.next_stamp_ns
    assert first == world.streams.observation_stamp(world.now)
    frames = world.run(2000, sampler)
    assert len(frames) in (59, 60)
    number = int(frames[0].images["top"].split()[1])
    for index, frame in enumerate(frames):
        assert frame.stamp_ns == first + round(index * SECOND / 30)
        assert frame.images == {"top": f"top {number + index}", "wrist": f"wrist {number + index}"}
        np.testing.assert_allclose(frame.state, 2.0 * (frame.stamp_ns - START) / SECOND, atol=1e-9)
        np.testing.assert_allclose(frame.action, (frame.stamp_ns - START) / SECOND, atol=1e-9)
    assert sampler.missing == {"top": 0, "wrist": 0, "joint_states": 0, "action": 0}
    assert sampler.slowest_camera() == pytest.approx((30.0, 1 / 30), rel=1e-4)


def test_the_rate_of_polling_does_not_change_the_frames() -> None:
    fine, coarse = SimulatedStreams(), SimulatedStreams()
    frames = []
    for world, step in ((fine, 1), (coarse, 90)):
        world.run(500)
        sampler = world.begin()
        taken = []
        for _ in range(0, 900, step):
            world.run(step)
            while (frame := sampler.poll(world.now)) is not None:
                taken.append(frame)
        frames.append(taken)
    assert len(frames[0]) == len(frames[1]) > 20
    for one, other in zip(*frames, strict=True):
        assert (one.stamp_ns, one.images) == (other.stamp_ns, other.images)
        np.testing.assert_array_equal(one.state, other.state)


def test_a_frame_waits_for_delayed_samples() -> None:
    world = SimulatedStreams(late_ms=100)
    world.run(500)
    sampler = world.begin()
    frames = world.run(500, sampler)
    world.late = 900 * MS  # a busy machine, or a slow network
    frames += world.run(2000, sampler)
    assert sampler.missing == {"top": 0, "wrist": 0, "joint_states": 0, "action": 0}
    assert len(frames) >= 45


def test_lost_images_are_repeated_and_counted() -> None:
    world = SimulatedStreams()
    world.run(500)
    sampler = world.begin()
    world.silent["top"] = (START + 700 * MS, START + 800 * MS)
    frames = world.run(1000, sampler)
    assert sampler.missing == {"top": 3, "wrist": 0, "joint_states": 0, "action": 0}
    tops = [frame.images["top"] for frame in frames]
    assert len(tops) - len(set(tops)) == 3
    rate, p99 = sampler.slowest_camera()
    assert rate < 29.0
    assert p99 > 0.09


def test_a_dead_camera_does_not_stop_the_episode() -> None:
    world = SimulatedStreams()
    world.run(500)
    sampler = world.begin()
    world.silent["wrist"] = (START + 700 * MS, START + 99 * SECOND)
    frames = world.run(2000, sampler)
    assert len(frames) >= 29
    assert sampler.missing["wrist"] == len(frames) - len({frame.images["wrist"] for frame in frames})
    assert sampler.missing["wrist"] > 20
    assert sampler.missing["top"] == 0


def test_silent_joints_are_counted() -> None:
    world = SimulatedStreams()
    world.run(500)
    sampler = world.begin()
    world.silent["joint_states"] = (START + 700 * MS, START + 900 * MS)
    world.run(1000, sampler)
    assert sampler.missing["joint_states"] in (3, 4)  # closer than one period to a sample is not missing


def test_a_frame_waits_for_its_action() -> None:
    world = SimulatedStreams()
    world.action_latency = 200 * MS
    world.run(500)
    sampler = world.begin()
    first = sampler.next_stamp_ns
    while not (frames := world.run(1, sampler)):
        pass
    assert 0 <= world.now - (first + 200 * MS) < MS
    world.stale_actions = {sampler.next_stamp_ns}
    frames += world.run(300, sampler)
    assert len(frames) > 5
    assert sampler.missing["action"] == 1


def test_an_episode_begins_no_earlier_than_its_first_command() -> None:
    world = SimulatedStreams(late_ms=100)
    world.run(500)
    world.first_command = world.now - MS
    sampler = world.begin()
    observed = world.streams.observation_stamp(world.now)
    assert sampler.first_stamp_ns - observed == 3 * SMALL_CONTRACT.dt_ns
    assert sampler.first_stamp_ns >= world.first_command
    assert world.run(500, sampler)


def test_the_rate_of_a_slow_camera_is_measured() -> None:
    world = SimulatedStreams()
    world.image_period["wrist"] = SECOND / 15
    world.run(500)
    sampler = world.begin()
    frames = world.run(2000, sampler)
    assert sampler.missing["wrist"] == pytest.approx(len(frames) / 2, abs=1)
    assert sampler.slowest_camera()[0] == pytest.approx(15.0, rel=0.01)


def test_streams_must_be_live_at_the_beginning() -> None:
    with pytest.raises(StaleObservation, match="nothing received yet"):
        SimulatedStreams().begin()


def test_a_clock_that_jumps_ends_the_episode() -> None:
    world = SimulatedStreams()
    world.run(500)
    sampler = world.begin()
    world.run(100, sampler)
    with pytest.raises(StreamError, match="late: the clock jumped ahead"):
        sampler.poll(world.now + 5 * SECOND)
    with pytest.raises(StreamError, match="clock was set back"):
        sampler.poll(world.now - 5 * SECOND)


def test_the_rate_is_nan_before_two_images() -> None:
    world = SimulatedStreams()
    world.run(500)
    assert np.isnan(world.begin().slowest_camera()).all()


def slow_cameras(fps: float, top: float | None, wrist: float | None) -> Contract:
    """A contract of this rate whose cameras have rates of their own [Hz], or not."""
    mapping = small_mapping(fps=fps)
    for name, rate in (("top", top), ("wrist", wrist)):
        mapping["cameras"][name] |= {} if rate is None else {"fps": rate}
    return parse_contract(mapping, "")


@pytest.mark.parametrize(
    ("fps", "rate"), [(50.0, 25.0), (50.0, 30.0), (100.0, 30.0), (30.0, 29.97), (50.0, 7.5)]
)
def test_a_camera_that_is_slower_than_the_joints_by_contract_misses_nothing(fps: float, rate: float) -> None:
    world = SimulatedStreams(contract=slow_cameras(fps, rate, None))
    world.image_period = {"top": SECOND / rate, "wrist": SECOND / fps}
    world.run(1000)
    sampler = world.begin()
    frames = world.run(3000, sampler)
    assert len(frames) >= 2.5 * fps
    assert sampler.missing == {"top": 0, "wrist": 0, "joint_states": 0, "action": 0}
    assert not any(frame.repeated for frame in frames)
    for frame in frames:
        number = int(frame.images["top"].split()[1])
        age = frame.stamp_ns - START - number * SECOND / rate
        assert -SECOND / fps / 4 <= age <= SECOND / rate
    measured, _ = sampler.slowest_camera()
    assert measured == pytest.approx(rate, rel=0.05) or measured == pytest.approx(fps, rel=0.05)


def test_a_slow_camera_that_loses_an_image_is_flagged_for_the_frames_that_lack_it() -> None:
    world = SimulatedStreams(contract=slow_cameras(50.0, 25.0, None))
    world.image_period = {"top": SECOND / 25, "wrist": SECOND / 50}
    world.run(1000)
    world.silent["top"] = (START + 1480 * MS, START + 1559 * MS)  # two images
    sampler = world.begin()
    frames = world.run(2000, sampler)
    late = [frame.stamp_ns - START for frame in frames if "top" in frame.repeated]
    assert late == [1500 * MS, 1520 * MS, 1540 * MS]
    assert sampler.slowest_camera_name() == "top"


def test_a_camera_at_half_its_own_rate_is_the_slowest_although_another_sends_less() -> None:
    world = SimulatedStreams(contract=slow_cameras(50.0, 20.0, None))
    world.image_period = {"top": SECOND / 20, "wrist": SECOND / 25}
    world.run(1000)
    sampler = world.begin()
    world.run(2000, sampler)
    assert sampler.slowest_camera_name() == "wrist"
    assert sampler.slowest_camera()[0] == pytest.approx(25.0, rel=0.05)
    assert sampler.missing["top"] == 0 and sampler.missing["wrist"] > 40


def test_a_joint_that_is_slow_by_contract_misses_nothing_either() -> None:
    """A gripper at 12 Hz beside arms: its position is interpolated."""
    for joint_states, are_missing in (({}, True), ({"fps": 10.0}, False)):
        mapping = small_mapping()
        mapping["joint_states"] |= joint_states
        contract = parse_contract(mapping, "")
        world = SimulatedStreams(contract=contract)
        joints, push = world.streams.joints, world.streams.joints.push
        world.streams.joints.push = lambda stamp, value, now, joints=joints, push=push: [
            joints.push_some(stamp, (0, 2), value[[0, 2]], now),
            (stamp - START) % (80 * MS) or joints.push_some(stamp, (1,), value[[1]], now),
        ]
        world.run(1000)
        sampler = world.begin()
        frames = world.run(2000, sampler)
        assert bool(sampler.missing["joint_states"]) is are_missing
        for frame in frames:
            np.testing.assert_allclose(frame.state, 2.0 * (frame.stamp_ns - START) / SECOND, atol=1e-9)


def test_an_episode_without_cameras() -> None:
    world = SimulatedStreams(contract=parse_contract(small_mapping(cameras={"names": []}), ""))
    world.run(1000)
    sampler = world.begin()
    frames = world.run(1000, sampler)
    assert len(frames) >= 29 and not frames[0].images
    assert np.isnan(sampler.slowest_camera()).all() and sampler.slowest_camera_name() == ""
    assert sampler.trace.image_stamps_ns.shape == (len(frames), 0)
