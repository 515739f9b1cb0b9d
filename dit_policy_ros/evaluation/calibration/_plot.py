# SPDX-License-Identifier: Apache-2.0
"""A picture of a calibration: what was commanded, measured and seen, and how well each lag fits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dit_policy_ros.core.calibration import Lag
from dit_policy_ros.evaluation.calibration._measurement import Measurement
from dit_policy_ros.evaluation.calibration._results import Latencies

_DPI = 100


def plot_measurement(measurements: Sequence[Measurement], latencies: Latencies, path: Path) -> None:
    """Write a PNG: one row per controller with its motion, and one with the correlation of each lag."""
    from matplotlib.figure import Figure  # takes a second to import

    rows = len(measurements) + 1
    figure = Figure(figsize=(12.0, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for row, each in zip(axes, measurements, strict=False):
        joint = int(np.argmax(np.ptp(each.commanded.positions, axis=0)))
        for label, motion in (("commanded", each.commanded), ("measured", each.measured)):
            row.plot(motion.times, motion.positions[:, joint], label=f"{each.joints[joint]} {label}", lw=1)
        row.set(ylabel="position [rad or m]", title=each.controller)
        row.legend(loc="upper left")
        images = row.twinx()
        for name, seen in each.seen.items():
            images.plot(seen.stamps[1:], seen.changes, ":", lw=0.8, color="gray")
            images.set_ylabel("image change [grey levels]")
            images.annotate(name, (seen.stamps[-1], seen.changes[-1]), fontsize=7, color="gray")
    lags = {**latencies.controllers, **latencies.cameras}
    for name, lag in lags.items():
        axes[-1].plot(lag.lags * 1e3, lag.correlations, lw=1, label=describe(name, lag))
        axes[-1].axvline(lag.seconds * 1e3, color="gray", lw=0.5)
    axes[-1].set(xlabel="lag [ms]", ylabel="correlation", title="the lag is where it is highest")
    if lags:
        axes[-1].legend(loc="lower left", fontsize=8)
    figure.savefig(path, dpi=_DPI)


def describe(name: str, lag: Lag) -> str:
    """One line, for example "top: 42.1 ± 1.3 ms"."""
    latency, uncertainty = lag.seconds * 1e3, lag.uncertainty * 1e3  # [ms]
    return f"{name}: {latency:.1f} ± {uncertainty:.1f} ms (correlation {lag.correlation:.3f})"
