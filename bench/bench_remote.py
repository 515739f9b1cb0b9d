#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a network between motion and inference costs: the same scenes with inference here and far away.

The other computer is a network namespace behind a slow cable (slow_link.py): 20 ms +- 5 ms and 1% loss each
way, 100 Mbit/s. Both runs use JPEG images, the real nodes and real time. Where namespaces are not permitted
the figures say why, and only the local run is done.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from command_line import make_parser, parse, write_figures
from slow_link import Impairment
from two_networks import NoNetworksError, TwoNetworks, two_networks

from dit_policy_ros.core.child_processes import start
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.evaluation.session import claimed_domain, config_path

CAMERAS = ("top", "left_wrist", "right_wrist")
LINK_TIMEOUT = 1.0  # [s]
TASK = "touch the red cube with the left arm"


def contract_parameters() -> list[str]:
    """The cameras send JPEG images."""
    return [
        text
        for name in CAMERAS
        for text in (
            f"cameras.{name}.topic:={name}/image_raw/compressed",
            f"cameras.{name}.compressed:=true",
        )
    ]


def evaluate(
    output: Path, options: Any, parameters: Sequence[str], prefix: Sequence[str], environment: dict[str, str]
) -> dict[str, Any]:
    """Run `dit_policy evaluate` and sum its tasks up."""
    given = [part for text in parameters for part in ("--parameter", text)]
    tasks = [part for text in options.task for part in ("--task", text)]
    command = [sys.executable, "-m", "dit_policy_ros.cli.main", "evaluate", "--resume", "--videos", "0"]
    command += ["--episodes", str(options.episodes), "--output", str(output), *tasks, *given]
    if prefix:
        command += ["--domain", environment["ROS_DOMAIN_ID"]]
    subprocess.run([*prefix, *command], env=environment, check=True, stdout=sys.stderr)
    summary = json.loads((output / "summary.json").read_text())
    tasks = summary["tasks"]
    return {
        "episodes": summary["episodes"],
        "success_rate": summary["success_rate"],
        "ci95": summary["ci95"],
        "wrong_rate": summary["wrong_rate"],
        "holds": sum(each["holds"] for each in tasks),
        "hold_reasons": summary["hold_reasons"],
        "disagreements": sum(each["disagreements"] for each in tasks),
    }


def evaluate_remotely(networks: TwoNetworks, output: Path, options: Any) -> dict[str, Any]:
    """The same with the inference node on the other computer."""
    output.mkdir(parents=True, exist_ok=True)
    with claimed_domain() as domain:
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
            "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4",  # shared memory would pass by the cable
        }
        parameters = ["checkpoint:=" + str(default_checkpoint()), *contract_parameters()]
        given = [part for text in parameters for part in ("-p", text)]
        module = "dit_policy_ros.ros.inference.inference_node"
        command = (sys.executable, "-m", module, "--ros-args", "--params-file", str(config_path()), *given)
        inference = start(
            "inference",
            networks.within(networks.gpu, *command),
            environment,
            output / "inference.log",
        )
        try:
            asked = ["inference:=external", f"link_timeout:={LINK_TIMEOUT}", *contract_parameters()]
            return evaluate(output, options, asked, networks.within(networks.robot), environment)
        finally:
            inference.stop()


def main() -> None:
    parser = make_parser(__doc__, "out/bench/remote.json")
    parser.add_argument("--episodes", type=int, default=3, help="of each task; default: %(default)s")
    parser.add_argument("--task", action="append", default=[], help="default: all that the policy knows")
    parser.add_argument("--folder", type=Path, help="keep the episodes here, and go on with those it has")
    options = parse(parser, episodes=1, task=[TASK])
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        figures: dict[str, Any] = {
            "cable": {name: getattr(Impairment(), name) for name in Impairment.__slots__}
        }
        figures["local"] = evaluate(folder / "local", options, contract_parameters(), (), dict(os.environ))
        try:
            networks = stack.enter_context(two_networks(Impairment()))
        except NoNetworksError as reason:
            figures["no_remote_run"] = str(reason)
        else:
            figures["remote"] = evaluate_remotely(networks, folder / "remote", options)
            local, remote = figures["local"], figures["remote"]
            figures["success_ratio"] = remote["success_rate"] / max(local["success_rate"], 1e-9)
    write_figures(options.output, figures)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
