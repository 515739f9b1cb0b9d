# SPDX-License-Identifier: Apache-2.0
"""Runs all checks, in the order in which they depend on one another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.node import Node

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.doctor import _graph, _machine, _robot, _stored
from dit_policy_ros.evaluation.doctor._findings import Finding, note, ok, problem
from dit_policy_ros.ros.common import Parameter, file_parameters
from dit_policy_ros.ros.policy import POLICY_PARAMETERS, motion_settings
from dit_policy_ros.ros.recorder import RECORDER_PARAMETERS, action_settings
from dit_policy_ros.ros.survey import ContractFile, read_contract_file, survey_node

_TABLES = {"policy": POLICY_PARAMETERS, "recorder": RECORDER_PARAMETERS}


@dataclass(frozen=True, slots=True)
class DoctorSettings:
    """What to check.

    Attributes:
        config: parameter file with the contract; None checks the machine alone.
        dataset: folder that episodes are recorded to; None: the one in the parameter file, if any.
        checkpoint: of the policy; empty: the one in the parameter file, if any.
        namespace: of the robot's topics.
        use_sim_time: whether the robot's time is simulated.
        seconds: how long rates are measured [s].
        discovery_time: how long to wait for other nodes to be discovered [s].
    """

    config: Path | None = None
    dataset: Path | None = None
    checkpoint: str = ""
    namespace: str = "/"
    use_sim_time: bool = False
    seconds: float = 5.0
    discovery_time: float = 4.0


def examine(settings: DoctorSettings, report: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """All findings, as they come; rclpy must not be initialised. report: gets what is checked."""
    report("this computer")
    file: ContractFile | None = None
    contract_findings: list[Finding] = []
    if settings.config is None:
        contract_findings.append(note("contract", "none was given: the robot is not checked"))
    else:
        try:
            file = read_contract_file(settings.config)
            contract_findings.append(ok("contract", f"{settings.config} is valid"))
        except DitPolicyError as error:
            contract_findings.append(
                problem("contract", str(error), "correct the file; docs/hardware.md, 3.")
            )
    path = None if file is None else file.path
    parameters, wrong = _parameters("policy", path, settings.namespace)
    recorder, recorder_wrong = _parameters("recorder", path, settings.namespace)
    contract_findings += [*wrong, *recorder_wrong]
    recorded = Path(recorder["dataset"]) if recorder["dataset"] else None
    folder = settings.dataset or recorded
    yield from _whole("ros", _graph.middleware())
    yield from _whole("clock", _machine.clock())
    yield from _whole("gpu", _machine.gpu(str(parameters["device"])))
    contract = None if file is None else file.contract
    disk = _machine.disk(folder or Path.cwd(), recorder["min_free_space"], contract)
    yield from _whole("disk", disk)
    yield from contract_findings
    if file is not None:
        yield from _whole("parameters", _of_recorder(file, recorder))
    with survey_node(settings.namespace, settings.use_sim_time) as node:
        report("the ROS domain")
        _robot.wait_for_discovery(settings.discovery_time)
        yield from _whole("domain", _graph.domain(node))
        if file is not None:
            yield from _whole("robot", _of_robot(node, file, parameters, settings, report))
    if contract is None:
        return
    if folder is not None:
        report("the dataset")
        yield from _whole("dataset", _stored.dataset(folder, contract))
    if checkpoint := settings.checkpoint or str(parameters["checkpoint"]):
        report("the checkpoint")
        yield from _whole("checkpoint", _stored.checkpoint(checkpoint, contract, parameters))


def _whole(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings of a check. One that fails is a finding, and the others follow."""
    try:
        yield from findings
    except Exception as error:  # noqa: BLE001 - a report that ends here would hide what it has to say
        yield problem(check, f"this check failed: {error!r}", "report it, with this line")


def _of_robot(
    node: Node,
    file: ContractFile,
    parameters: dict[str, Any],
    settings: DoctorSettings,
    report: Callable[[str], None],
) -> Iterator[Finding]:
    try:
        motion = motion_settings(parameters, file.contract)
    except DitPolicyError as error:
        yield problem("parameters", str(error), f"correct {file.path}")
        motion = motion_settings(_parameters("policy")[0] | {"actions_are": "commands"}, file.contract)
    report(f"cameras and joint states, for {settings.seconds:g} s")
    yield from _robot.cameras(node, file.contract, settings.seconds)
    report("controllers, pose and clocks")
    yield from _robot.readiness(node, file.contract, motion, parameters)


def _of_recorder(file: ContractFile, parameters: dict[str, Any]) -> Iterator[Finding]:
    try:
        action_settings(parameters, file.contract.joints)
    except DitPolicyError as error:
        yield problem("parameters", f"recorder: {error}", f"correct {file.path}")


def _parameters(
    kind: str, path: Path | None = None, namespace: str = "/"
) -> tuple[dict[str, Any], list[Finding]]:
    """A node's parameters: the file's, and defaults; and what of the file's is not valid.

    Args:
        kind: policy or recorder.
        path: of the parameter file; None: there is none.
        namespace: of the node.
    """
    table: tuple[Parameter, ...] = _TABLES[kind]
    values, wrong = dict[str, Any](), list[Finding]()
    given: dict[str, Any] = {}
    try:
        given = {} if path is None else file_parameters(path, kind, namespace)
    except DitPolicyError as error:
        wrong.append(problem("parameters", f"{kind}: {error}", "correct the file"))
    for each in table:
        value = given.get(each.name, each.default)
        if each.name in given and (expected := each.problem(value)):
            text = f"{kind}: {each.name}: expected {expected}, got {value!r}"
            wrong.append(problem("parameters", text, "correct the file"))
            value = each.default
        values[each.name] = value if value is None else each.convert(value)
    return values, wrong
