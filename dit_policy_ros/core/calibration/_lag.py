# SPDX-License-Identifier: Apache-2.0
"""Finds by how much a signal lags behind what is expected of it, by cross-correlation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import CalibrationError

Array = NDArray[np.float64]

_STEP = 0.005  # [s] between the lags that are tried; the peak between them is interpolated
_BLOCKS = 10  # parts of the signal that are left out one after the other
_QUANTILE = 2.262  # 97.5 % quantile of Student's t with _BLOCKS - 1 degrees of freedom
_NEAR = 0.06  # [s] the lag without a part is searched this far around that of the whole
_SMALLEST = 0.0005  # [s] uncertainty that is always claimed
_FLAT = 1e-12  # standard deviation below which a signal counts as constant


@dataclass(frozen=True, slots=True)
class LagSearch:
    """Which lags are tried, and what is asked of the best one.

    Attributes:
        low, high: range of the lags [s].
        min_correlation: a peak below it is noise.
        max_uncertainty: a lag that is less certain is refused [s].
        rival: another peak whose correlation is this close to the best one makes the result ambiguous.
    """

    low: float
    high: float
    min_correlation: float
    max_uncertainty: float = 0.01
    rival: float = 0.04


@dataclass(frozen=True, slots=True, eq=False)
class Lag:
    """A measured lag.

    Attributes:
        seconds: how far the signal lags behind [s].
        uncertainty: half the width of its 95 % interval [s].
        correlation: at the peak, up to 1.
        lags, correlations: (L,) the whole curve, for a plot.
    """

    seconds: float
    uncertainty: float
    correlation: float
    lags: Array
    correlations: Array


def find_lag(expected: Callable[[float], Array], measured: Array, search: LagSearch, what: str) -> Lag:
    """The lag at which ``expected(lag)`` resembles the measured signal most.

    Args:
        expected: maps a lag [s] to the values (N,) that would be measured if that were the lag.
        measured: (N,) in the order of time.
        search: which lags to try, and what to accept.
        what: is measured, for messages.

    Raises:
        CalibrationError: the result cannot be trusted: nothing moves, the correlation is low or flat, the
            peak is at an end of the range or not the only one.
    """
    count = round((search.high - search.low) / _STEP) + 1
    lags = np.linspace(search.low, search.high, count, dtype=np.float64)  # (L,)
    table = np.stack([expected(lag) for lag in lags])  # (L, N)
    for name, values in (("measured signal", measured), ("expected signal", table[len(lags) // 2])):
        if not np.isfinite(values).all() or values.std() < _FLAT:
            raise CalibrationError(f"{what}: the {name} does not change, so nothing moved or nothing came")
    correlations = _correlations(table, measured)  # (L,)
    best = int(np.argmax(correlations))
    peak = float(correlations[best])
    _check_peak(lags, correlations, best, search, what)
    seconds = _peak(lags, correlations, best)
    uncertainty = _uncertainty(lags, table, measured, seconds)
    if not uncertainty <= search.max_uncertainty:
        raise CalibrationError(
            f"{what}: {seconds * 1e3:.0f} ms, but uncertain by {uncertainty * 1e3:.0f} ms; at most "
            f"{search.max_uncertainty * 1e3:.0f} ms are accepted. Measure longer, or let the arm move more"
        )
    return Lag(seconds, uncertainty, peak, lags, correlations)


def _check_peak(lags: Array, correlations: Array, best: int, search: LagSearch, what: str) -> None:
    """Raises CalibrationError if the peak is no clear one."""
    peak = float(correlations[best])
    if peak < search.min_correlation:
        raise CalibrationError(
            f"{what}: the best correlation is {peak:.2f}, at least {search.min_correlation:.2f} is needed. "
            "Something else moves, too little does, or the signal is mostly noise"
        )
    if best in (0, len(lags) - 1):
        raise CalibrationError(
            f"{what}: the correlation still grows at {lags[best] * 1e3:.0f} ms, the end of the range that is "
            "searched. Are the clocks synchronised (chrony)?"
        )
    inner = correlations[1:-1]  # (L - 2,)
    is_peak = (inner >= correlations[:-2]) & (inner > correlations[2:])  # (L - 2,)
    peaks = (np.flatnonzero(is_peak) + 1).tolist()  # indices
    rivals = [other for other in peaks if not _same_hill(correlations, best, other, search)]
    if rivals:
        other = max(rivals, key=lambda i: correlations[i])
        raise CalibrationError(
            f"{what}: {lags[best] * 1e3:.0f} ms and {lags[other] * 1e3:.0f} ms fit almost equally well "
            f"(correlation {peak:.2f} and {correlations[other]:.2f}). Measure longer"
        )


def _same_hill(correlations: Array, best: int, other: int, search: LagSearch) -> bool:
    """Whether a peak is no rival: it is much lower than the best one, or there is no valley in between."""
    if correlations[best] - correlations[other] > search.rival:
        return True
    first, last = sorted((best, other))
    return bool(correlations[other] - correlations[first : last + 1].min() < search.rival)


def _correlations(table: Array, measured: Array) -> Array:
    """The correlation of each row (L, N) with the measured signal (N,) -> (L,); 0 for a constant row."""
    rows = table - table.mean(axis=1, keepdims=True)  # (L, N)
    values = measured - measured.mean()  # (N,)
    scale = np.linalg.norm(rows, axis=1) * np.linalg.norm(values)  # (L,)
    return np.where(scale > 0.0, rows @ values / np.where(scale > 0.0, scale, 1.0), 0.0)


def _peak(lags: Array, correlations: Array, best: int) -> float:
    """The lag at the top of a parabola through the best lag and its neighbours [s]."""
    if best in (0, len(lags) - 1):
        return float(lags[best])
    before, at, after = correlations[best - 1 : best + 2]
    curvature = before - 2.0 * at + after
    shift = 0.0 if curvature >= 0.0 else 0.5 * (before - after) / curvature
    return float(lags[best] + np.clip(shift, -0.5, 0.5) * (lags[1] - lags[0]))


def _uncertainty(lags: Array, table: Array, measured: Array, seconds: float) -> float:
    """Half the 95 % interval of the lag [s], by the jackknife: how it changes when parts are left out."""
    near = np.flatnonzero(np.abs(lags - seconds) <= _NEAR)  # (L',)
    samples = np.arange(len(measured))
    found = []
    for part in np.array_split(samples, _BLOCKS):
        rest = np.setdiff1d(samples, part)  # (N',)
        correlations = _correlations(table[near][:, rest], measured[rest])  # (L',)
        found.append(_peak(lags[near], correlations, int(np.argmax(correlations))))
    deviation = float(np.std(found)) * (_BLOCKS - 1) ** 0.5
    return max(_SMALLEST, _QUANTILE * deviation)
