# SPDX-License-Identifier: Apache-2.0
"""Ready robots from the recording to a trained policy that moves: as processes, on simulated time."""

import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ready_robots import SIMULATED, sections
from ros_testing import call, spinning
from scripted_operator import ScriptedOperator
from waiting import wait_for

from dit_policy_ros.cli.train import main as train
from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.msg import PolicyStatus, RecorderStatus
from dit_policy_ros.srv import StartEpisode, StopEpisode

pytestmark = pytest.mark.slow

TASK = "swing the arms"
START = 400.0  # [s] for a busy machine
FRAMES = 20  # of each of two demonstrations
SMALL = {"height": 48, "width": 64, "max_age": 1.0}  # old at 10 Hz: rendered while the time goes on
# Meshes are slow without a GPU: simulated time waits for the cameras, and is slow for a busy machine.
SIMULATED_TIME = ("-p", "use_sim_time:=true")


def parameter_file(name: str, folder: Path) -> Path:
    """The robot's own file with a lower rate and smaller images, to render less."""
    given = sections(name)
    given["/**"]["fps"] = 10.0
    for camera in given["/**"]["cameras"]["names"]:
        given["/**"]["cameras"][camera] |= SMALL
        given["/**"]["cameras"][camera].pop("fps", None)
    given["/sim"] |= {"speed": 0.25, "discovery_time": 0.0}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({key: {"ros__parameters": values} for key, values in given.items()}))
    return file


class Watcher:
    """Keeps the newest status of policy and recorder, and the referee's words."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("watcher")
        self.policy, self.recorder, self.referee = PolicyStatus(), RecorderStatus(), {}
        self.node.create_subscription(PolicyStatus, "/policy/status", self._on_policy, 10)
        self.node.create_subscription(RecorderStatus, "/recorder/status", self._on_recorder, 10)
        self.node.create_subscription(DiagnosticStatus, "/sim/referee", self._on_referee, 10)

    def _on_policy(self, message: PolicyStatus) -> None:
        self.policy = message

    def _on_recorder(self, message: RecorderStatus) -> None:
        self.recorder = message

    def _on_referee(self, message: DiagnosticStatus) -> None:
        self.referee = {pair.key: pair.value for pair in message.values}

    def bring_up(self, node: str) -> None:
        """A step that fails is tried again: on a busy machine a process may take too long to start."""
        for number in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=number))

            def succeeds(request=request) -> bool:
                return call(self.node, ChangeState, f"/{node}/change_state", request, timeout=START).success

            wait_for(succeeds, 2 * START, f"{node}: transition {number}")

    def record(self) -> None:
        wait_for(lambda: self.recorder.state == RecorderStatus.READY, START, "the recorder is ready")
        begun = call(
            self.node, StartEpisode, "/recorder/start_episode", StartEpisode.Request(task=TASK), timeout=60.0
        )
        assert begun.success, begun.message
        wait_for(lambda: self.recorder.frames >= FRAMES, START, f"{FRAMES} frames")
        request = StopEpisode.Request(save=True, success_label=True)
        ended = call(self.node, StopEpisode, "/recorder/stop_episode", request, timeout=60.0)
        assert ended.success, ended.message
        wait_for(lambda: self.recorder.frames == 0, 60.0, "the next episode can begin")


@pytest.mark.parametrize("name", SIMULATED)
def test_from_recording_to_a_trained_policy_that_moves(name, ros_domain, start_process, tmp_path):
    file, dataset = parameter_file(name, tmp_path), tmp_path / "dataset"
    contract = parse_contract(yaml.safe_load(file.read_text())["/**"]["ros__parameters"], str(file))
    given = ("--ros-args", "--params-file", str(file))
    start_process("sim", "dit_policy_ros.ros.sim.sim_node", *given)
    recorder = start_process(
        "recorder",
        "dit_policy_ros.ros.recorder.recorder_node",
        *(*given, *SIMULATED_TIME, "-p", f"dataset:={dataset}"),
    )
    watcher, operator = Watcher(), ScriptedOperator(contract)
    with spinning(watcher.node, operator):
        wait_for(lambda: operator.home is not None, START, "the simulated robot is up")
        watcher.bring_up("recorder")
        watcher.record()
        watcher.record()
        recorder.process.send_signal(signal.SIGINT)
        wait_for(lambda: not recorder.alive, 60.0, "the recorder ends, and with it the commits")
        assert recorder.process.returncode == 0
        operator.stop()
        swings = read_demonstrations(dataset)
        arms = ~contract.gripper_mask
        assert swings.tasks == (TASK,)
        assert np.ptp(swings.state[:, arms], axis=0).min() > 0.1  # [rad]: every joint swung

        output = tmp_path / "run"
        options = ["--dataset", str(dataset), "--output", str(output), "--use-flagged", "--device", "cpu"]
        options += ["--steps", "4", "--batch-size", "4", "--warmup-steps", "1"]
        assert train([*options, "--policy", "num_inference_steps=2"]) == 0
        checkpoint = output / "checkpoints" / "last" / "pretrained_model"

        before = operator.positions
        values = {"checkpoint": checkpoint, "task": TASK, "device": "cpu", "plan_horizon": 1.5}
        values |= {"link_timeout": 5.0, "unseen_state": "limit", "max_tracking_error": 3.0}
        chosen = [part for key, value in values.items() for part in ("-p", f"{key}:={value}")]
        start_process("policy", "dit_policy_ros.ros.policy.policy_node", *given, *SIMULATED_TIME, *chosen)
        watcher.bring_up("policy")
        wait_for(lambda: watcher.policy.plans >= 5, START, "five plans")

        def farthest() -> float:
            return float(np.abs(operator.positions - before)[arms].max())

        wait_for(lambda: farthest() > 0.05, START, "the arms move")
        assert watcher.referee["nan_commands"] == "0"
        assert int(watcher.referee["trajectories_accepted"]) > 0
