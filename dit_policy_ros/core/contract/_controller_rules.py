# SPDX-License-Identifier: Apache-2.0
"""Is a ros2_control controller set up for streamed plans? Each finding comes with the line that mends it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dit_policy_ros.core.contract._contract import Contract, Controller, ControllerType
from dit_policy_ros.core.problems import listing


@dataclass(frozen=True, slots=True)
class Findings:
    """problems: nothing may move before they are mended. advice: motion will be worse than it could be."""

    problems: tuple[str, ...]
    advice: tuple[str, ...]


def controller_findings(
    controller: Controller, parameters: Mapping[str, Any], contract: Contract, simulated_time: bool
) -> Findings:
    """Judge what a controller says about itself.

    Args:
        parameters: its parameters by name; one that is missing is not judged (distributions differ).
        simulated_time: whether our own stamps are simulated time.
    """
    findings = _Collector(controller.name, parameters)
    if "use_sim_time" in parameters:
        findings.require("use_sim_time", simulated_time, "its clock and ours must be the same")
    if controller.type is ControllerType.PARALLEL_GRIPPER:
        findings.require("joint", controller.joints[0], "it is the joint of the contract")
        return findings.done()
    if "joints" in parameters:
        owned, partial = tuple(parameters["joints"]), parameters.get("allow_partial_joints_goal", False)
        foreign = set(controller.joints) - set(owned)
        if foreign or (set(owned) != set(controller.joints) and not partial):
            findings.problem(
                "joints", f"[{listing(controller.joints)}]", "a plan names exactly the joints of the contract"
            )
    findings.require("interpolation_method", "splines", "plans carry velocities, which give cubics")
    slowest = 2.0 * contract.fps  # [Hz]
    if parameters.get("update_rate", slowest) < slowest:
        findings.advise("update_rate", f"{max(100.0, slowest):.0f}", "it is too slow for the knots of a plan")
    if parameters.get("cmd_timeout", 0.0) > 0.0:
        findings.advise("cmd_timeout", "0.0", "a plan's last position is to be held, not the measured one")
    for name, value in parameters.items():
        parts = name.split(".")
        if parts[0] == "constraints" and parts[-1] in ("trajectory", "goal_time") and value > 0.0:
            findings.advise(name, "0.0", "when it is exceeded the controller drops the plan and stops")
    return findings.done()


class _Collector:
    def __init__(self, controller: str, parameters: Mapping[str, Any]) -> None:
        self._controller, self._parameters = controller, parameters
        self._problems: list[str] = []
        self._advice: list[str] = []

    def require(self, name: str, wanted: Any, why: str) -> None:
        if self._parameters.get(name, wanted) != wanted:
            self.problem(name, str(wanted).lower() if isinstance(wanted, bool) else str(wanted), why)

    def problem(self, name: str, wanted: str, why: str) -> None:
        self._problems.append(self._line(name, wanted, why))

    def advise(self, name: str, wanted: str, why: str) -> None:
        self._advice.append(self._line(name, wanted, why))

    def done(self) -> Findings:
        return Findings(tuple(self._problems), tuple(self._advice))

    def _line(self, name: str, wanted: str, why: str) -> str:
        return (
            f"{self._controller} has {name}: {self._parameters[name]!r}, but {why}. In the controllers' "
            f"YAML, under {self._controller}: ros__parameters, set {name}: {wanted}"
        )
