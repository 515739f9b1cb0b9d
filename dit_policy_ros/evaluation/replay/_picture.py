# SPDX-License-Identifier: Apache-2.0
"""A picture of an incident: for each joint what was commanded, measured and predicted, and its limits."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.replay._traces import JointTraces

BEFORE, AFTER = 3.0, 1.0  # [s] around the HOLD
_COLUMNS = 2
_DPI = 110


def plot_motion(traces: JointTraces, title: str, target: Path) -> None:
    """Draw the motion around the last HOLD, or the last seconds without one.

    Args:
        traces: of the incident.
        title: of the picture.
        target: file to write; its suffix selects the format (png, pdf, svg).

    Raises:
        DitPolicyError: the incident contains no motion, or the file cannot be written.
    """
    from matplotlib.figure import Figure  # takes a second to import

    if not len(traces.times_ns):
        raise DitPolicyError("the incident contains no motion: the policy node sent no plan in that time")
    rows = -(-len(traces.joints) // _COLUMNS)
    figure = Figure(figsize=(14.0, 1.9 * rows + 1.4), layout="constrained")
    axes = figure.subplots(rows, min(_COLUMNS, len(traces.joints)), squeeze=False, sharex=True)
    zero_ns = traces.holds[-1][0] if traces.holds else int(traces.times_ns[-1])
    for index, axis in enumerate(axes.T.flat):
        if index < len(traces.joints):
            _plot_joint(axis, traces, index, zero_ns)
        else:
            axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("[s] after the HOLD" if traces.holds else "[s] before the end")
    reason = f"\nHOLD: {traces.holds[-1][1]}" if traces.holds else ""
    figure.suptitle(f"{title}{reason}"[:240], fontsize=11)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=9)
    try:
        figure.savefig(target, dpi=_DPI)
    except (OSError, ValueError) as error:
        raise DitPolicyError(f"the picture {target} cannot be written: {error}") from error


def _plot_joint(axis: Any, traces: JointTraces, index: int, zero_ns: int) -> None:
    def seconds(times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        return (times_ns - zero_ns) * 1e-9

    for number, chunk in enumerate(traces.chunks):
        times_ns = chunk.stamp_ns + chunk.period_ns * np.arange(len(chunk.actions))  # (T,)
        label = "chunks" if number == 0 else None
        axis.plot(
            seconds(times_ns),
            chunk.actions[:, index],
            color="tab:blue",
            alpha=0.35,
            linewidth=0.7,
            label=label,
        )
    commanded = traces.commanded[:, index]  # (N,)
    axis.plot(seconds(traces.times_ns), commanded, color="tab:orange", linewidth=1.8, label="commanded")
    axis.plot(seconds(traces.measured_ns), traces.measured[:, index], "k.", markersize=3.5, label="measured")
    for when, _ in traces.holds:
        axis.axvline((when - zero_ns) * 1e-9, color="tab:red", linewidth=1.0, label="_")
    axis.set_xlim(-BEFORE, AFTER)
    low, high = float(traces.position_min[index]), float(traces.position_max[index])
    _draw_limits(axis, low, high, _range_within(traces, index, zero_ns))
    axis.set_title(f"{traces.joints[index]}  [{low:.3g}, {high:.3g}]", fontsize=9, loc="left", pad=3)
    axis.tick_params(labelsize=7)


def _range_within(traces: JointTraces, index: int, zero_ns: int) -> tuple[float, float]:
    """Lowest and highest position in the part that is shown."""
    since_ns, until_ns = zero_ns - BEFORE * 1e9, zero_ns + AFTER * 1e9
    shown = [traces.commanded[(traces.times_ns >= since_ns) & (traces.times_ns <= until_ns), index]]
    shown.append(traces.measured[(traces.measured_ns >= since_ns) & (traces.measured_ns <= until_ns), index])
    shown += [c.actions[:, index] for c in traces.chunks if c.end_ns >= since_ns and c.stamp_ns <= until_ns]
    values = np.concatenate(shown)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)


def _draw_limits(axis: Any, low: float, high: float, shown: tuple[float, float]) -> None:
    """The limits, where they are not so far away that the motion would become a line."""
    span = max(shown[1] - shown[0], 0.02)
    bottom, top = shown[0] - 0.15 * span, shown[1] + 0.15 * span
    for limit, label in ((low, "limit"), (high, "_")):
        if np.isfinite(limit):  # a continuous joint has none
            axis.axhline(limit, color="tab:red", linestyle="--", linewidth=1.0, label=label)
            if shown[0] - span <= limit <= shown[1] + span:
                bottom, top = min(bottom, limit - 0.05 * span), max(top, limit + 0.05 * span)
    axis.set_ylim(bottom, top)
