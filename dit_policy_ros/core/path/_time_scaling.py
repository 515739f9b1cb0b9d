# SPDX-License-Identifier: Apache-2.0
"""One time scaling for all joints of a group: they go slower along the same path instead of bending it.

The path is a row of knots. Between two knots the tangent D (motion per knot) changes linearly, and the arms
go along it at the rate r (path knots per period). The joints then move at D*r, and their acceleration is ``D'
r^2 + D r'``. With ``x = r^2`` that is ``D' x + D x'/2``: linear in x, and linear along a segment, so it is
largest at the ends of a segment. A pass backward finds the largest x from which the rest of the path can
still be driven within the limits (Pham and Pham, "A New Approach to Time-Optimal Path Parameterization Based
on Reachability Analysis", 2018). A pass forward, period by period, goes as fast as that allows.

Here one period is the unit of time: velocities are per period, accelerations per period squared.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROUNDING = 1e-9  # relative
_SMALL = 1e-12  # stands for a motion of 0, so that no quotient is 0/0
# Choices of x at the end of a segment, as shares of the largest.
_CHOICES = np.array([0.0, 0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.3, 0.42, 0.56, 0.7, 0.85, 1.0])
_ITERATIONS, _CLOSE = 4, 0.02  # of the rate at the end of a period; relative difference that ends them
CATCH_UP, _CATCH_UP_GAIN = 1.25, 0.2  # how much faster a late motion is at most, and per knot of delay


@dataclass(frozen=True, slots=True, eq=False)
class JointLimits:
    """Limits of the joints that decide how fast a group goes.

    Attributes:
        fastest: (A,) velocities per period.
        strongest: (A,) accelerations per period squared.
    """

    fastest: Array
    strongest: Array


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a motion should be where.

    Attributes:
        rate: wanted [path knots per period]. A motion that is late goes a little faster until it is in time
            again; one that is too fast brakes.
        delay: how many periods the start is behind.
        periods: number of periods K; the motion rests at the last one.
        braking: share of the limits that the last brake may use. A bend on its way needs the rest.
    """

    rate: float
    delay: float
    periods: int
    braking: float = 1.0


def reachable(tangents: Array, limits: JointLimits, max_rate: float, ends: bool) -> tuple[Array, Array]:
    """The largest squared rates from which the rest of a path can be driven within the limits.

    Args:
        tangents: (N+1, A) motion per path knot at the knots of the path.
        limits: of the joints.
        max_rate: of the path, in knots per period.
        ends: whether the motion must rest at the last knot.

    Returns:
        For each segment the largest square at its beginning and the one at its end that goes with it, (N,)
        both.
    """
    bend = np.diff(tangents, axis=0)  # (N, A)
    half = tangents / 2.0  # (N+1, A)
    # The acceleration at both ends of each segment is from_x * x + to_x * y, with y = x at the segment's end.
    from_x = np.concatenate([bend - half[:-1], -half[1:]], axis=1)  # (N, 2A)
    to_x = np.concatenate([half[:-1], bend + half[1:]], axis=1)  # (N, 2A)
    allowed = np.concatenate([limits.strongest, limits.strongest])  # (2A,)
    fastest = (limits.fastest / np.maximum(np.abs(tangents), _SMALL)).min(axis=1)  # (N+1,)
    reach = np.minimum(fastest, max_rate) ** 2  # (N+1,)
    if ends:
        reach[-1] = 0.0
    after = reach[1:].copy()  # (N,)
    most = reach.copy()  # (N+1,) before any acceleration limits it
    free = (np.abs(from_x * reach[:-1, None] + to_x * reach[1:, None]) <= allowed).all(axis=1)  # (N,)
    if free.all():
        return reach[:-1], after
    slope, width = -to_x / _nonzero(from_x), allowed / np.maximum(np.abs(from_x), _SMALL)  # (N, 2A)
    for j in range(len(bend) - 1, -1, -1):
        if free[j] and reach[j + 1] == most[j + 1]:
            continue
        choices = reach[j + 1] * _CHOICES  # (C,)
        centre = slope[j][:, None] * choices  # (2A, C)
        low = (centre - width[j][:, None]).max(axis=0)  # (C,)
        high = (centre + width[j][:, None]).min(axis=0)  # (C,)
        high = np.minimum(high, reach[j])  # (C,)
        high[high < np.maximum(low, 0.0)] = -1.0  # no rate here leads there
        best = len(high) - 1 - int(np.argmax(high[::-1]))  # the fastest end of those
        reach[j], after[j] = high[best], choices[best]
    return reach[:-1], after


@np.errstate(divide="ignore", invalid="ignore")
def fastest_rates(
    tangents: Array,
    velocity: Array,
    limits: JointLimits,
    reach: tuple[Array, Array],
    schedule: Schedule,
) -> tuple[Array, Array]:
    """The fastest motion along a path that rests at its last period.

    Args:
        tangents: (N+1, A) motion per path knot at the knots of the path, the first one at the start.
        velocity: (A,) of the joints at the start, per period.
        limits: of the joints.
        reach: from ``reachable``.
        schedule: when the motion should be where.

    Returns:
        Positions on the path [knots] and rates after each period, (K,) each.
    """
    wanted, periods = schedule.rate, schedule.periods
    strongest, last = limits.strongest, len(tangents) - 1
    bends = np.diff(tangents, axis=0)  # (N, A)
    # How much of the largest rate change one more of the rate needs: at most this, linear between the knots.
    hardest = (np.abs(tangents) / strongest).max(axis=1).tolist()  # N+1
    squares = list(zip(reach[0].tolist(), reach[1].tolist(), strict=True))  # N pairs
    position, rate = 0.0, best_rate(tangents[0], velocity, strongest)
    before = rate
    positions, rates = np.empty(periods), np.empty(periods)
    for k in range(periods):
        behind = (schedule.delay + k + 1) * wanted - position - rate
        most = wanted * min(max(1.0 + _CATCH_UP_GAIN * behind, 1.0), CATCH_UP)
        next_velocities = np.stack([velocity - strongest, velocity + strongest])  # (2, A)
        # The tangent at the end of this period depends on the rate there, but little.
        slower = min(max(2.0 * rate - before, 0.0), most)
        for _ in range(_ITERATIONS):
            guess = slower
            knot, beyond = _locate(position + (rate + guess) / 2.0, last)
            tangent = tangents[knot] + beyond * bends[knot]  # (A,)
            bounds = next_velocities / tangent  # (2, A); infinite where the tangent is 0
            low = float(np.minimum(bounds[0], bounds[1]).max())
            high = float(np.maximum(bounds[0], bounds[1]).min())
            if low <= high and low < np.inf:
                x = squares[knot][0] + beyond * (squares[knot][1] - squares[knot][0])
                most_braking = hardest[knot] + beyond * (hardest[knot + 1] - hardest[knot])
                rest_in_time = schedule.braking * (periods - 1 - k) / max(most_braking, _SMALL)
                slower = max(min(high, most, x**0.5, rest_in_time), low, 0.0)
            else:
                slower = best_rate(tangent, velocity, strongest)
            if abs(slower - guess) < _CLOSE * (slower + _CLOSE):
                break
        knot, beyond = _locate(position + (rate + slower) / 2.0, last)
        tangent = tangents[knot] + beyond * bends[knot]  # (A,)
        position, before, rate, velocity = knot + beyond, rate, slower, tangent * slower
        positions[k], rates[k] = position, rate
    return positions, rates


def _locate(position: float, last: int) -> tuple[int, float]:
    """The knot before a position on a path, and how far beyond it that is."""
    knot = min(int(position), last - 1)
    return knot, min(position - knot, 1.0)


def best_rate(tangent: Array, velocity: Array, strongest: Array) -> float:
    """The rate along ``tangent`` (A,) nearest to ``velocity`` (A,), in shares of the limits (A,)."""
    weight = tangent / (strongest * strongest)  # (A,)
    return max(float(weight @ velocity) / max(float(weight @ tangent), _SMALL), 0.0)


def smooth_path(rows: Array) -> tuple[Array, Array]:
    """The curve through a row of knots (N+1, A): its places and tangents at the knots, (N+1, A) each.

    The tangents are central differences, and they change linearly in between. That is the quadratic B-spline
    of
    the knots: it is smooth, it stays within their hull, and it begins and ends exactly at the first and last
        one. At a bend it passes the knot by a quarter of the second difference.
    """
    tangents = np.empty_like(rows)
    tangents[1:-1] = (rows[2:] - rows[:-2]) / 2.0
    tangents[0], tangents[-1] = rows[1] - rows[0], rows[-1] - rows[-2]
    places = rows.copy()
    places[1:-1] += np.diff(rows, 2, axis=0) / 4.0
    return places, tangents


def sample_path(places: Array, tangents: Array, position: Array, rate: Array) -> tuple[Array, Array]:
    """Places and velocities per period, (K, A) each, at ``position`` (K,) on a curve of N+1 knots."""
    knot = np.minimum(position.astype(np.int64), len(places) - 2)  # (K,)
    beyond = (position - knot)[:, None]  # (K, 1)
    bend = tangents[knot + 1] - tangents[knot]  # (K, A)
    tangent = tangents[knot] + beyond * bend  # (K, A)
    return places[knot] + beyond * (tangents[knot] + tangent) / 2.0, tangent * rate[:, None]


def stop_by_the_end(velocities: Array, strongest: Array) -> tuple[Array, Array]:
    """Slows a motion down evenly so that it rests at its last knot: the shortest ramp within the limits.

    Args:
        velocities: (K+1, A) per period at the knots; the first one is the present velocity.
        strongest: (A,) acceleration limits, per period squared.

    Returns:
        For the knots 1 to K the time (K,) in the motion that is reached [periods], and the rate there (K,).
    """
    knots = len(velocities) - 1
    if not velocities[-1].any():
        return np.arange(1, knots + 1).astype(np.float64), np.ones(knots)
    times, rates, row, share = _ramps(knots)
    sampled = velocities[row] + share[:, :, None] * (velocities[row + 1] - velocities[row])  # (K, K+1, A)
    slowed = sampled * rates[:, :, None]  # (K, K+1, A)
    excess = (np.abs(np.diff(slowed, axis=1)) / strongest).max(axis=2)  # (K, K) share of the limits
    # Before its ramp a motion may break limits of its own, which no ramp can mend.
    excess = np.where(rates[:, 1:] < 1.0, excess, 0.0).max(axis=1)  # (K,) by length of the ramp
    fitting = np.flatnonzero(excess <= 1.0 + _ROUNDING)
    chosen = fitting[0] if len(fitting) else int(np.argmin(excess))
    return times[chosen, 1:], rates[chosen, 1:]


@lru_cache(maxsize=64)
def _ramps(knots: int) -> tuple[Array, Array, NDArray[np.int64], Array]:
    """All even ramps of 1 to ``knots`` periods that end at the last of the knots.

    Returns:
        Times in the motion (K, K+1), rates (K, K+1), and the times as knot before (K, K+1) and share (K,
        K+1).
    """
    length = np.arange(1.0, knots + 1.0)[:, None]  # (K, 1)
    elapsed = np.maximum(np.arange(knots + 1.0) - (knots - length), 0.0)  # (K, K+1) since the ramp began
    rates = 1.0 - elapsed / length  # (K, K+1)
    times = np.arange(knots + 1.0) - elapsed * elapsed / (2.0 * length)  # (K, K+1)
    row = np.minimum(times.astype(np.int64), knots - 1)  # (K, K+1)
    return times, rates, row, times - row


def _nonzero(values: Array) -> Array:
    """The values, those near 0 replaced by a small one of the same sign."""
    return np.where(np.abs(values) < _SMALL, np.copysign(_SMALL, values), values)
