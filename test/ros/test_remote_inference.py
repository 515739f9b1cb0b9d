# SPDX-License-Identifier: Apache-2.0
"""The inference node on another computer: two network namespaces, and a cable that is pulled out."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from slow_link import Impairment
from small_robot import TASKS, tiny_checkpoint
from two_networks import NoNetworksError, two_networks
from waiting import wait_for

from dit_policy_ros.cli import replay
from dit_policy_ros.core.share import share_directory
from dit_policy_ros.data.incident_folder import read_incident
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.sim.robot import HOME, JOINTS

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "test" / "support" / "ros" / "remote_console.py"
LINK_TIMEOUT = 0.6  # [s]


class Remote:
    """Simulator and policy node on one computer, the inference node on the other."""

    def __init__(self, networks, start_process, folder):
        self.networks, self.status, self.answers = networks, {}, []
        paths = [str(ROOT), str(CONSOLE.parent), str(CONSOLE.parents[1]), os.environ.get("PYTHONPATH", "")]
        # Shared memory would pass by the cable.
        environment = {
            "PYTHONPATH": os.pathsep.join(paths),
            "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4",
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        }
        config = str(share_directory() / "config" / "bimanual.yaml")
        checkpoint = tiny_checkpoint(folder / "checkpoint", joints=JOINTS, around=HOME)

        def start(name, where, module, **parameters):
            given = [part for key, text in parameters.items() for part in ("-p", f"{key}:={text}")]
            command = (sys.executable, "-m", f"dit_policy_ros.ros.{module}", "--ros-args", *given)
            return start_process(name, *networks.within(where, *command), **environment)

        small = {"image_width": 80, "image_height": 60, "cameras": "[top]", "discovery_time": 0.0}
        ages = {"cameras.top.max_age": 1.0, "joint_states.max_age": 1.0}
        self.sim = start("sim", networks.robot, "sim.sim_node", **small)
        shared = ("--params-file", config)
        self.policy = start_process(
            "policy",
            *networks.within(
                networks.robot,
                *(sys.executable, "-m", "dit_policy_ros.ros.policy.policy_node", "--ros-args", *shared),
                *("-p", "inference:=external", "-p", f"link_timeout:={LINK_TIMEOUT}"),
                *("-p", f"task:={TASKS[0]}", "-p", "plan_horizon:=1.5"),
                *(part for name, age in ages.items() for part in ("-p", f"{name}:={age}")),
            ),
            **environment,
        )
        self.inference = start_process(
            "inference",
            *networks.within(
                networks.gpu,
                *(sys.executable, "-m", "dit_policy_ros.ros.inference.inference_node", "--ros-args", *shared),
                *("-p", f"checkpoint:={checkpoint}", "-p", "frozen_after:=0.0"),
                *(part for name, age in ages.items() for part in ("-p", f"{name}:={age}")),
            ),
            **environment,
        )
        self._console = subprocess.Popen(
            networks.within(networks.robot, sys.executable, str(CONSOLE)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._console.stdout:
            said = json.loads(line)
            if "answer" in said:
                self.answers.append(said)
            else:
                self.status = said

    def ask(self, command, timeout=150.0):
        count = len(self.answers)
        self._console.stdin.write(f"{command}\n")
        self._console.stdin.flush()
        wait_for(lambda: len(self.answers) > count, timeout, f"an answer to {command}")
        return self.answers[-1]

    def run(self):
        wait_for(lambda: "the next step is" in self.inference.output(), 90.0, "the inference node is up")
        assert self.ask("configure")["success"]
        wait_for(lambda: self.ask("activate")["success"], 90.0, "activation")
        self.goes_on()

    def goes_on(self):
        wait_for(lambda: self.status.get("state") == PolicyStatus.RUNNING, 60.0, "motion")
        plans = self.status["plans"]
        wait_for(lambda: self.status["plans"] > plans + 5, 60.0, "plans")

    def close(self):
        self._console.stdin.close()
        self._console.kill()
        self._console.wait()
        self._reader.join(5.0)


@pytest.fixture
def remote(request, ros_domain, start_process, tmp_path):
    with contextlib.ExitStack() as stack:
        try:
            networks = stack.enter_context(two_networks(getattr(request, "param", None)))
        except NoNetworksError as reason:
            pytest.skip(f"no network namespaces here: {reason}")
        made = Remote(networks, start_process, tmp_path)
        try:
            yield made
        finally:
            made.close()
            for child in (made.policy, made.inference, made.sim):
                child.stop()


def test_the_chunks_are_those_that_the_same_observations_give_here(remote, capsys):
    remote.run()
    status = remote.status
    assert status["inference"] == "active" and status["refused_chunks"] == 0
    assert 0.0 < status["link_round_trip"] < 1.0 and abs(status["link_clock_offset"]) < 0.1
    assert status["camera_bytes_per_second"] > 80 * 60 * 3
    folder = Path(remote.ask("save")["message"])
    wait_for(folder.exists, 30.0, "the incident")
    stored = read_incident(folder)
    assert stored.incident.inferences and stored.facts["observations"] == "here"
    assert replay.main([str(folder)]) == 0
    printed = capsys.readouterr().out
    chunks = sum(each.actions is not None for each in stored.incident.inferences)
    assert f"policy: {chunks} chunks, {chunks} identical bit for bit" in printed


@pytest.mark.parametrize("seconds", [0.2, 1.0, 10.0])
def test_a_cut_connection_holds_the_arms_and_motion_goes_on_when_it_is_back(remote, seconds):
    remote.run()
    holds = remote.status["holds"]
    remote.networks.plug(False)
    pause = threading.Event()
    if seconds > LINK_TIMEOUT:
        wait_for(lambda: "inference lost: no sign of life" in remote.status["hold_reason"], 10.0, "a hold")
        assert remote.status["hold_recoverable"]
        pause.wait(seconds - LINK_TIMEOUT)
        assert remote.status["state"] == PolicyStatus.HOLD
    else:
        pause.wait(seconds)
    remote.networks.plug(True)
    remote.goes_on()
    assert remote.status["inference_restarts"] == 0, "it goes on where it was"
    if seconds > LINK_TIMEOUT:
        assert remote.status["holds"] > holds


@pytest.mark.parametrize("remote", [Impairment()], indirect=True, ids=["slow"])
def test_it_works_over_a_slow_network_that_loses_packets(remote):
    remote.run()
    plans = remote.status["plans"]
    wait_for(lambda: remote.status["plans"] > plans + 100, 60.0, "a hundred plans")
    assert remote.status["link_round_trip"] > 0.03
