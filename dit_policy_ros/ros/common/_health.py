# SPDX-License-Identifier: Apache-2.0
"""One entry of /diagnostics: figures, the thresholds they are held against, and the verdict."""

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

_ORDER = (DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR)


class Health:
    """Collects; `status` gives the message. The worst finding decides the level, all are named."""

    def __init__(self, name: str, hardware: str) -> None:
        """name: as aggregators see it, "<node>: <what>"; hardware: which robot."""
        self._status = DiagnosticStatus(name=name, hardware_id=hardware, level=DiagnosticStatus.OK)
        self._findings: list[str] = []

    def figure(self, name: str, value: float | int | str | bool, unit: str = "", limit: str = "") -> None:
        """One figure; `limit` says when it becomes a finding, for example "warn above 0.4"."""
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        key = f"{name} [{unit}]" if unit else name
        self._status.values.append(KeyValue(key=key, value=f"{text} ({limit})" if limit else text))

    def warn_if(self, condition: bool, finding: str) -> None:
        """Something to look at."""
        self._find(condition, DiagnosticStatus.WARN, finding)

    def error_if(self, condition: bool, finding: str) -> None:
        """Something that keeps the robot from working."""
        self._find(condition, DiagnosticStatus.ERROR, finding)

    def status(self, well: str) -> DiagnosticStatus:
        """The message; `well` is its text where nothing was found."""
        self._status.message = "; ".join(self._findings) or well
        return self._status

    def _find(self, condition: bool, level: bytes, finding: str) -> None:
        if condition:
            self._status.level = max(self._status.level, level, key=_ORDER.index)
            self._findings.append(finding)
