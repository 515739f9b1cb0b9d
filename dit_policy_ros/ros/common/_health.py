# SPDX-License-Identifier: Apache-2.0
"""One entry of /diagnostics: measured values, their thresholds, and the resulting level."""

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

_ORDER = (DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR)


class Health:
    """Builds a DiagnosticStatus. The worst finding decides the level; the message lists all findings."""

    def __init__(self, name: str, hardware: str) -> None:
        """name: "<node>: <subject>", as diagnostic aggregators expect. hardware: which robot."""
        self._status = DiagnosticStatus(name=name, hardware_id=hardware, level=DiagnosticStatus.OK)
        self._values: list[KeyValue] = []
        self._findings: list[str] = []

    def figure(self, name: str, value: float | int | str | bool, unit: str = "", limit: str = "") -> None:
        """Adds a value. `limit` says when it becomes a finding, for example "warn above 0.4"."""
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        key = f"{name} [{unit}]" if unit else name
        self._values.append(KeyValue(key=key, value=f"{text} ({limit})" if limit else text))

    def warn_if(self, condition: bool, finding: str) -> None:
        """Adds a warning if the condition holds."""
        self._find(condition, DiagnosticStatus.WARN, finding)

    def error_if(self, condition: bool, finding: str) -> None:
        """Adds an error if the condition holds: the robot cannot work."""
        self._find(condition, DiagnosticStatus.ERROR, finding)

    def status(self, ok_message: str) -> DiagnosticStatus:
        """The finished status. `ok_message` is its text if there are no findings."""
        self._status.values = self._values
        self._status.message = "; ".join(self._findings) or ok_message
        return self._status

    def _find(self, condition: bool, level: bytes, finding: str) -> None:
        if condition:
            self._status.level = max(self._status.level, level, key=_ORDER.index)
            self._findings.append(finding)
