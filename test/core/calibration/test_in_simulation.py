# SPDX-License-Identifier: Apache-2.0
"""Injected delays are found with the real motion path, the simulated robot and its images, in lock-step."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="mujoco is not installed")
pytest.importorskip("rclpy", reason="rclpy is not installed")
from simulated_motion import CONTRACT, SimulatedMotion

from dit_policy_ros.core.calibration import (
    ARM_SEARCH,
    CAMERA_SEARCH,
    ImageMotion,
    JointMotion,
    WiggleSettings,
    arm_latency,
    camera_latency,
    plan_wiggle,
)
from dit_policy_ros.core.errors import CalibrationError, SimulationError
from dit_policy_ros.evaluation.calibration import Measurement, evaluate, plot_measurement
from dit_policy_ros.ros.calibration import small_grey
from dit_policy_ros.sim.robot import HOME, STEP_NS, BimanualSim

ARM = "left_arm_controller"
COLUMNS = CONTRACT.indices(ARM)
SERVOS = 0.0313  # [s] lag of the simulated servos themselves
TOLERANCE = 0.005  # [s]
SETTINGS = WiggleSettings(duration=12.0)
STATE_EVERY, IMAGE_EVERY = 4, 17  # physics steps: 125 Hz, 29.4 Hz


class Recorded(SimulatedMotion):
    """Wiggles; keeps joint states and, of the cameras given, how each image differs from that before."""

    def __init__(self, delay: float, cameras=()):
        sim = BimanualSim(seed=1, width=160, height=120)
        sim.command_delay.steps = round(delay * 1e9 / STEP_NS)
        wiggle = plan_wiggle(CONTRACT, ARM, HOME, SETTINGS)
        self.states, self.cameras = [], cameras
        self.stamps, self.last = [], {}
        self.changes = {name: [] for name in cameras}
        super().__init__(sim, lambda t: wiggle.at(np.array([t - 1.0]))[0])
        self.run(SETTINGS.duration + 2.0)

    def stand_by(self, seconds):
        for _ in range(round(seconds * 1e9 / STEP_NS)):
            super().stand_by(STEP_NS * 1e-9)
            if len(self._rows) % STATE_EVERY == 0:
                self.states.append((self.now, self.sim.joint_positions))
            if self.cameras and len(self._rows) % IMAGE_EVERY == 0:
                self.stamps.append(self.now)
                for name, image in self.sim.render(*self.cameras).items():
                    grey = small_grey(image)
                    change = np.abs(grey - self.last[name]).mean() if name in self.last else 0.0
                    self.last[name] = grey
                    self.changes[name].append(change)

    @property
    def now(self):
        return len(self._rows) * STEP_NS * 1e-9

    @property
    def commanded(self):
        """What the controller commanded, and when."""
        times = np.arange(1, len(self._rows) + 1) * STEP_NS * 1e-9
        return JointMotion(times, self.commands[:, COLUMNS])

    @property
    def measured(self):
        times, positions = zip(*self.states, strict=True)
        return JointMotion(np.array(times), np.array(positions)[:, COLUMNS])

    def seen(self, camera, latency):
        """The images with stamps that are late."""
        return ImageMotion(np.array(self.stamps) + latency, np.array(self.changes[camera])[1:])


@pytest.mark.parametrize(
    "delay", [0.06, *(pytest.param(d, marks=pytest.mark.slow) for d in (0.0, 0.02, 0.1, 0.15))]
)
def test_the_delay_of_the_servos_is_found(delay):
    recorded = Recorded(delay)
    lag = arm_latency(recorded.commanded, recorded.measured, ARM, ARM_SEARCH)
    assert lag.seconds == pytest.approx(SERVOS + delay, abs=TOLERANCE)
    assert lag.correlation > 0.99 and lag.uncertainty < 0.002


@pytest.mark.slow
def test_the_latency_of_cameras_is_found_and_plotted(tmp_path):
    cameras = ("left_wrist",)  # from the top, 0.05 rad change less than a tenth of a grey level
    try:
        recorded = Recorded(0.05, cameras)
    except SimulationError as error:
        pytest.skip(f"no renderer: {error}")
    for camera in cameras:
        for latency in (0.0, 0.03, 0.08, 0.15):
            lag = camera_latency(recorded.seen(camera, latency), recorded.measured, camera, CAMERA_SEARCH)
            assert lag.seconds == pytest.approx(latency, abs=TOLERANCE), camera
    still = ImageMotion(
        np.array(recorded.stamps), np.random.default_rng(0).uniform(1, 2, len(recorded.stamps) - 1)
    )
    with pytest.raises(CalibrationError):  # the other wrist's camera sees nothing move
        camera_latency(still, recorded.measured, "right_wrist", CAMERA_SEARCH)
    joints = CONTRACT.controller(ARM).joints
    seen = {camera: recorded.seen(camera, 0.04) for camera in cameras} | {"right_wrist": still}
    measurement = Measurement(ARM, joints, recorded.commanded, recorded.measured, seen)
    latencies = evaluate([measurement])
    assert latencies.controllers.keys() == {ARM} and latencies.cameras.keys() == set(cameras)
    assert latencies.refused.keys() == {"right_wrist"}
    picture = Path(tmp_path / "calibration.png")
    plot_measurement([measurement], latencies, picture)
    assert picture.stat().st_size > 10_000
