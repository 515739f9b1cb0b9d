#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How smooth the motion is, by the method that streams chunks to a joint_trajectory_controller.

A 30 Hz policy sends a chunk of 16 steps every 6 steps, 80 ms after the observation, or 60 to 120 ms after it
at random. The chunks follow a sine of 0.6 rad and 0.4 Hz. Simulated controllers (200 Hz, with the semantics
of joint_trajectory_controller in each release) turn them into commands. The chunks are clean, or disagree by
a random offset of 20 mrad (sigma).

It also moves the clock of the stamps away from the controller's.

Reports for each method the RMS and the peak of the commanded acceleration [rad/s^2], and the lag of the
command behind the policy's sine [s]. Deterministic; nothing is timed.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from command_line import make_parser, parse, write_figures

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion import Chunk, EnsembleMode, EnsembleSettings, MotionSettings, Pipeline
from dit_policy_ros.sim.controllers import (
    ControllerRelease,
    ControllerSettings,
    Point,
    Trajectory,
    TrajectoryController,
)

DT_NS, STEPS, EVERY = 33_333_333, 16, 6
LATENCIES_NS = {"constant": (80_000_000, 80_000_000), "jittering": (60_000_000, 120_000_000)}  # from, to
CONTROL_NS = 5_000_000  # 200 Hz
AMPLITUDE, FREQUENCY = 0.6, 0.4  # [rad], [Hz]
SIGMA = 0.02  # [rad]
CUT = 150.0  # of the plot [rad/s^2]
SECONDS, SETTLING = 30.0, 3.0  # [s]; the settling time is not evaluated
T0_NS = 1_000_000_000_000
JOINT = ("joint",)
Method = Callable[[Chunk, int], Iterator[Trajectory]]


def action_origin(times_ns: np.ndarray) -> np.ndarray:
    """The policy's sine at times (N,) [ns] -> (N,) [rad]."""
    return AMPLITUDE * np.sin(2 * np.pi * FREQUENCY * (times_ns - T0_NS) * 1e-9)


def chunks(sigma: float, seconds: float, latency: str) -> Iterator[tuple[int, Chunk]]:
    """Arrival time [ns] and chunk. latency: a key of LATENCIES_NS."""
    rng, delays = np.random.default_rng(0), np.random.default_rng(1)
    for i in range(int(seconds * 30 / EVERY)):
        stamp_ns = T0_NS + i * EVERY * DT_NS
        times_ns = stamp_ns + DT_NS * np.arange(STEPS, dtype=np.int64)  # (T,)
        actions = action_origin(times_ns) + rng.normal(0.0, sigma)
        yield (
            stamp_ns + round(delays.uniform(*LATENCIES_NS[latency])),
            Chunk(stamp_ns, DT_NS, actions[:, None]),
        )


def positions_only(stamp_ns: int, offsets_ns: np.ndarray, positions: np.ndarray) -> Trajectory:
    points = tuple(Point(int(o), (float(p),)) for o, p in zip(offsets_ns, positions, strict=True))
    return Trajectory(stamp_ns, JOINT, points)


def whole_chunk_from_now(chunk: Chunk, now_ns: int) -> Iterator[Trajectory]:
    """Stamp 0, the first point one step ahead, as other packages do."""
    offsets_ns = DT_NS * np.arange(1, STEPS + 1)
    yield positions_only(0, offsets_ns, chunk.actions[:, 0])


def raw_chunk(chunk: Chunk, now_ns: int) -> Iterator[Trajectory]:
    """Stamped with the observation."""
    yield positions_only(chunk.stamp_ns, DT_NS * np.arange(STEPS), chunk.actions[:, 0])


def future_points(chunk: Chunk, now_ns: int) -> Iterator[Trajectory]:
    """Drop past points; send only future ones."""
    offsets_ns = DT_NS * np.arange(STEPS)
    ahead = chunk.stamp_ns + offsets_ns > now_ns
    yield positions_only(chunk.stamp_ns, offsets_ns[ahead], chunk.actions[ahead, 0])


def untimed(chunk: Chunk, now_ns: int) -> Iterator[Trajectory]:
    """Future points without stamp and times: positions_upsampling with policy_frequency spreads them."""
    ahead = chunk.stamp_ns + DT_NS * np.arange(STEPS) > now_ns
    actions = chunk.actions[ahead, 0]
    yield positions_only(0, np.zeros(len(actions), np.int64), actions)


def from_next_step(chunk: Chunk, now_ns: int) -> Iterator[Trajectory]:
    """Future points, stamped with the time of the first."""
    offsets_ns = DT_NS * np.arange(STEPS)
    ahead = chunk.stamp_ns + offsets_ns > now_ns
    first_ns = int(offsets_ns[ahead][0])
    yield positions_only(chunk.stamp_ns + first_ns, offsets_ns[ahead] - first_ns, chunk.actions[ahead, 0])


def spliced() -> Method:
    """This package: ensemble, splice, velocities, standstill at the end."""
    one = np.ones(1)
    limits = Limits(-3.0 * one, 3.0 * one, 2.5 * one, 8.0 * one)
    ensemble = EnsembleSettings(
        EnsembleMode.ACT, 0.01, np.zeros(1, bool), np.full(1, 0.3), np.zeros(1, np.int64), 200_000_000
    )
    pipeline = Pipeline(JOINT, limits, DT_NS, MotionSettings(ensemble, 0.5, 5, 1.0, np.full(1, np.inf)))
    pipeline.start(np.zeros(1), T0_NS)

    def method(chunk: Chunk, now_ns: int) -> Iterator[Trajectory]:
        plan = pipeline.add_chunk(chunk, now_ns)
        if plan is not None:
            offsets_ns = plan.times_ns - plan.times_ns[0]
            points = tuple(
                Point(int(o), (float(p),), (float(v),))
                for o, p, v in zip(offsets_ns, plan.positions[:, 0], plan.velocities[:, 0], strict=True)
            )
            yield Trajectory(int(plan.times_ns[0]), JOINT, points)

    return method


def stream(
    method: Method | None, sigma: float, seconds: float = SECONDS, latency: str = "constant"
) -> Iterator[tuple[int, Trajectory]]:
    """Time [ns] and message to the controller. Without a method, one point per step at t = 0."""
    arriving, newest, next_step_ns = list(chunks(sigma, seconds, latency))[::-1], None, T0_NS
    for now_ns in range(T0_NS, T0_NS + round(seconds * 1e9), CONTROL_NS):
        while arriving and arriving[-1][0] <= now_ns:
            newest = arriving.pop()[1]
            for message in method(newest, now_ns) if method is not None else ():
                yield now_ns, message
        if method is None and newest is not None and now_ns >= next_step_ns:
            next_step_ns = now_ns + DT_NS
            action = newest.at(np.array([min(now_ns, newest.end_ns)]))[0, 0]
            yield now_ns, positions_only(0, np.zeros(1, np.int64), np.array([action]))


def execute(
    messages: Iterable[tuple[int, Trajectory]],
    settings: ControllerSettings,
    seconds: float,
    clock_offset_ns: int = 0,
    servo_lag: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) [ns] and commands (N,) [rad] of a simulated controller that gets these messages.

    Args:
        clock_offset_ns: by which the clock of the stamps is ahead of the controller's.
        servo_lag: time constant with which the joint follows its command [s]; 0: as on mock hardware.
    """
    share = 1.0 if servo_lag == 0.0 else 1.0 - float(np.exp(-CONTROL_NS * 1e-9 / servo_lag))
    controller = TrajectoryController("controller", JOINT, period_ns=CONTROL_NS, settings=settings)
    messages = deque(messages)
    times_ns, commands, measured, velocity = [], [], 0.0, 0.0
    for now_ns in range(T0_NS, T0_NS + round(seconds * 1e9), CONTROL_NS):
        robot_ns = now_ns - clock_offset_ns
        while messages and messages[0][0] <= now_ns:
            if reason := controller.accept(messages.popleft()[1], robot_ns):
                raise ValueError(f"the controller rejects a message: {reason}")
        command = float(controller.update(robot_ns, np.array([measured]), np.array([velocity]))[0])
        step = share * (command - measured)
        measured, velocity = measured + step, step / (CONTROL_NS * 1e-9)
        times_ns.append(now_ns + CONTROL_NS)
        commands.append(command)
    return np.array(times_ns), np.array(commands)


def figures(times_ns: np.ndarray, commands: np.ndarray, settling: float = SETTLING) -> dict[str, float]:
    """Figures of a run after the settling time. The times need not be evenly spaced."""
    settled = times_ns > T0_NS + settling * 1e9
    times_ns, commands = times_ns[settled], commands[settled]
    intervals = np.diff(times_ns) * 1e-9  # [s]
    velocities = np.diff(commands) / intervals
    acceleration = np.diff(velocities) / (0.5 * (intervals[1:] + intervals[:-1]))
    lags = np.arange(-10, 41)  # [control periods]
    errors = [np.square(commands - action_origin(times_ns - lag * CONTROL_NS)).mean() for lag in lags]
    return {
        "acceleration_rms": float(np.sqrt(np.mean(acceleration**2))),
        "acceleration_peak": float(np.abs(acceleration).max()),
        "lag": float(lags[int(np.argmin(errors))] * CONTROL_NS * 1e-9),
    }


METHODS: dict[str, Callable[[], Method | None]] = {
    "one point per step at t = 0": lambda: None,
    "whole chunk from now, stamp 0": lambda: whole_chunk_from_now,
    "raw chunk, stamp of the observation": lambda: raw_chunk,
    "future points only": lambda: future_points,
    "spliced plan with velocities (ours)": spliced,
}
# For controllers with positions_upsampling, which only Rolling has.
UPSAMPLED: dict[str, Callable[[], Method | None]] = {
    "upsampled: future points, untimed": lambda: untimed,
    "upsampled: future points from the next step": lambda: from_next_step,
}
RELEASES = {
    "humble": ControllerSettings(ControllerRelease.HUMBLE),
    "jazzy": ControllerSettings(ControllerRelease.JAZZY),
    "kilted": ControllerSettings(ControllerRelease.KILTED),
    "rolling": ControllerSettings(ControllerRelease.ROLLING, allow_trajectory_replacement=False),
    "rolling_default": ControllerSettings(ControllerRelease.ROLLING),
}
CASES = {"clean": 0.0, "disagreeing": SIGMA}
CLOCK_OFFSETS = (-0.05, 0.0, 0.015, 0.05, 0.1, 0.15)  # our clock ahead of the controller's [s]
SERVO_LAG = 0.06  # [s]


def compare(latency: str, seconds: float) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Figures by method, release and kind of chunks."""
    table: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for name, make in (METHODS | UPSAMPLED).items():
        rows = table.setdefault(name, {})
        for case, sigma in CASES.items():
            messages = list(stream(make(), sigma, seconds, latency))
            for release, settings in RELEASES.items():
                if name in UPSAMPLED:
                    if settings.release is not ControllerRelease.ROLLING:
                        continue
                    settings = replace(settings, positions_upsampling=True, policy_frequency=1e9 / DT_NS)
                commands = execute(messages, settings, seconds)
                rows.setdefault(release, {})[case] = figures(*commands)
    return table


def with_clock_offsets(seconds: float) -> dict[str, dict[str, dict[str, float]]]:
    """Largest step [mrad] and acceleration of our plans' commands on Kilted, by setting and clock offset."""
    messages = list(stream(spliced(), 0.0, seconds, "jittering"))
    table: dict[str, dict[str, dict[str, float]]] = {}
    for desired in (False, True):
        settings = replace(RELEASES["kilted"], interpolate_from_desired_state=desired)
        rows = table.setdefault(f"interpolate_from_desired_state: {str(desired).lower()}", {})
        for offset in CLOCK_OFFSETS:
            times_ns, commands = execute(messages, settings, seconds, round(offset * 1e9), SERVO_LAG)
            steps = np.abs(np.diff(commands[times_ns > T0_NS + SETTLING * 1e9]))  # [rad]
            found = figures(times_ns, commands)
            rows[f"{offset:g}"] = {
                "step_peak": float(steps.max() * 1e3),
                "acceleration_peak": found["acceleration_peak"],
            }
    return table


def plot(path: Path) -> None:
    """Plot two seconds of each method's commanded acceleration, with disagreeing chunks."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(METHODS), 1, figsize=(8, 9), sharex=True, sharey=True, layout="constrained"
    )
    for axis, (name, make) in zip(axes, METHODS.items(), strict=True):
        times_ns, commands = execute(list(stream(make(), SIGMA)), RELEASES["kilted"], SECONDS)
        acceleration = np.diff(commands, 2) / (CONTROL_NS * 1e-9) ** 2
        seconds = (times_ns[1:-1] - T0_NS) * 1e-9
        shown = (seconds > 10.0) & (seconds < 12.0)
        axis.plot(
            seconds[shown], acceleration[shown], linewidth=0.8, color="C3" if "ours" not in name else "C0"
        )
        axis.set_title(name, fontsize=9, loc="left")
        axis.set_ylim(-CUT, CUT)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("time [s]")
    figure.supylabel(f"commanded acceleration [rad/s²]; what is beyond {CUT:g} is cut off", fontsize=9)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = make_parser(__doc__, "out/bench/streaming.json")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="duration per method and kind of chunks [s]"
    )
    parser.add_argument("--plot", type=Path, help="also plot the methods into this file")
    options = parse(parser, seconds=SETTLING + 1.0)
    tables = {latency: compare(latency, options.seconds) for latency in LATENCIES_NS}
    offsets = with_clock_offsets(options.seconds)
    write_figures(options.output, {**tables, "clock_offset": offsets})
    for latency, table in tables.items():
        print(f"\n{latency} latency: RMS of the commanded acceleration [rad/s^2], clean / disagreeing chunks")
        print(f"{'':44}" + "".join(f"{release:>18}" for release in RELEASES))
        for name, rows in table.items():
            cells = (
                " / ".join(f"{rows[release][case]['acceleration_rms']:.1f}" for case in CASES)
                if release in rows
                else "-"
                for release in RELEASES
            )
            print(f"{name:44}" + "".join(f"{cell:>18}" for cell in cells))
    print(f"\nclock offset, jittering latency, servo lag {SERVO_LAG:g} s: largest step of our plans [mrad]")
    print(f"{'':44}" + "".join(f"{offset:>9g} s" for offset in CLOCK_OFFSETS))
    for name, rows in offsets.items():
        print(f"{name:44}" + "".join(f"{row['step_peak']:>11.1f}" for row in rows.values()))
    if options.plot:
        plot(options.plot)
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
