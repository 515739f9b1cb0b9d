# SPDX-License-Identifier: Apache-2.0
"""`dit_policy replay`: do again, without a robot, what the policy node did before an incident.

The policy node keeps its last seconds in memory and writes them to a folder on HOLD, on an e-stop and when
/policy/save_incident is called. This command takes the recorded observations through the policy (if its
checkpoint is at hand) and the recorded chunks through the motion pipeline, and compares chunks and commands
with the recorded ones, bit for bit.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dit_policy_ros.core.errors import DitPolicyError, IncidentError
from dit_policy_ros.core.incidents import Inference, ReplayedCall, predict_seeded, replay_calls
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.core.share import package_version
from dit_policy_ros.data.incident_folder import StoredIncident, read_incident
from dit_policy_ros.ros.policy import policy_options

EXAMPLE = """\
examples:
  dit_policy replay ~/.ros/dit_policy_incidents/incident_20261125_231502_481516_e-stop
  dit_policy replay FOLDER --checkpoint out/pick          the checkpoint lies elsewhere on this computer
  dit_policy replay FOLDER --motion-only --csv motion.csv
                                                          the commands as a table, for PlotJuggler

Chunks are the same bit for bit on the same kind of device with the same libraries and threads; on another one
they differ by rounding, which is shown. Commands made from the recorded chunks are the same everywhere.

Exit code: 0 reproduced, 1 not reproduced, 2 the incident or the checkpoint cannot be used.
"""
SAME = 1e-3  # [rad or m] rounding on another device stays far below this; another policy does not
CSV_STEP_NS = 5_000_000


@dataclass(frozen=True, slots=True)
class ChunkComparison:
    """Recorded and repeated chunks."""

    count: int  # that were repeated
    identical: int  # bit for bit
    largest: float  # difference of any action [rad or m]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy replay",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("incident", type=Path, help="folder of the incident")
    parser.add_argument("--checkpoint", type=Path, help="default: where it was when the incident happened")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:<n>; default: cpu")
    parser.add_argument("--motion-only", action="store_true", help="leave the policy out")
    parser.add_argument("--csv", type=Path, help="write the commands here, one row per 5 ms")
    return parser.parse_args(arguments)


def repeat_chunks(policy: Policy, inferences: Sequence[Inference]) -> ChunkComparison:
    """Infer every recorded chunk again. Raises StreamError where policy and observations do not fit."""
    identical, largest, count = 0, 0.0, 0
    for inference in inferences:
        if inference.actions is None:  # it failed, or was under way
            continue
        images = {name: np.stack(frames) for name, frames in inference.images.items()}  # (n_obs, H, W, 3)
        actions = predict_seeded(
            policy, images, inference.state, inference.task, inference.seed, inference.previous
        )  # (T, A)
        count += 1
        identical += actions.tobytes() == inference.actions.tobytes()
        apart = np.abs(actions.astype(np.float64) - inference.actions)  # (T, A)
        apart[np.isnan(actions) & np.isnan(inference.actions)] = 0.0
        largest = max(largest, float(np.nan_to_num(apart, nan=np.inf).max()))
    return ChunkComparison(count, identical, largest)


def command_rows(repeated: Sequence[ReplayedCall], joints: Sequence[str]) -> Iterator[list[Any]]:
    """What the controllers were told over time: each plan from its call until the next plan."""
    yield ["time", *(f"{joint}/position" for joint in joints), *(f"{joint}/velocity" for joint in joints)]
    plans = [each.plan for each in repeated if each.plan is not None]
    for plan, following in zip(plans, [*plans[1:], None], strict=True):
        end_ns = plan.end_ns if following is None else int(following.times_ns[0])
        times_ns = np.arange(plan.times_ns[0], end_ns, CSV_STEP_NS)  # (N,)
        positions, velocities = plan.sample(times_ns)  # (N, A) both
        for t, p, v in zip(times_ns, positions, velocities, strict=True):
            yield [f"{t * 1e-9:.6f}", *p.tolist(), *v.tolist()]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        stored = read_incident(options.incident.expanduser())
        _print_facts(console, stored)
        good = _replay_motion(console, stored, options.csv)
        if not options.motion_only:
            good &= _replay_policy(console, stored, options.checkpoint, options.device)
    except DitPolicyError as error:
        print(f"dit_policy replay: {error}", file=sys.stderr)
        return 2
    console.print("reproduced" if good else "NOT reproduced", style="bold green" if good else "bold red")
    return 0 if good else 1


def _print_facts(console: Console, stored: StoredIncident) -> None:
    facts = stored.facts
    table = Table.grid(padding=(0, 2))
    for label, value in (
        ("reason", facts["reason"]),
        ("written", facts["written"]),
        ("task", facts["status"]["task"]),
        ("policy", f"{facts['policy']}; on {facts['device']}"),
        ("checkpoint", facts["parameters"]["checkpoint"]),
    ):
        table.add_row(label, Text(str(value)))  # Text: brackets in it are no markup
    console.print(table)
    for event in facts["events"][-8:]:
        console.print(f"  {event['time']}  {event['kind']}: {event['text']}", markup=False)
    if facts["version"] != package_version():
        console.print(
            f"note: written by version {facts['version']}, this is {package_version()}", style="yellow"
        )


def _replay_motion(console: Console, stored: StoredIncident, table: Path | None) -> bool:
    repeated = list(replay_calls(stored.incident.segments))
    plans = sum(each.plan is not None for each in repeated)
    wrong = [index for index, each in enumerate(repeated) if not each.identical]
    verdict = f"{len(wrong)} differ, the first is call {wrong[0]}" if wrong else "identical bit for bit"
    console.print(f"motion: {len(repeated)} calls, {plans} plans: {verdict}", markup=False)
    if wrong:
        first = repeated[wrong[0]]
        then, now = (error or "a plan" for error in (first.call.error, first.error))
        console.print(f"  {first.call.method}: {then} was recorded, now it gives {now}", markup=False)
    if table is not None:
        with table.open("w", newline="") as file:
            csv.writer(file).writerows(command_rows(repeated, stored.facts["joints"]))
        console.print(f"commands written to {table}", markup=False)
    return not wrong


def _replay_policy(console: Console, stored: StoredIncident, checkpoint: Path | None, device: str) -> bool:
    from dit_policy_ros.policy import load_policy  # torch takes seconds

    parameters = stored.facts["parameters"]
    folder = checkpoint or Path(parameters["checkpoint"])
    if checkpoint is None and not folder.exists():
        console.print(f"policy: left out, {folder} is not here; name the checkpoint with --checkpoint")
        return True
    try:
        # The steps are those that were left after max_latency had its say.
        options = policy_options(parameters) | {"device": device, "sampling_steps": stored.facts["steps"]}
    except KeyError as missing:
        raise IncidentError(
            f"the incident lacks the parameter {missing}: version {stored.facts['version']} wrote it; "
            "replay it with that version"
        ) from missing
    policy = load_policy(folder, **options)
    compared = repeat_chunks(policy, stored.incident.inferences)
    failed = len(stored.incident.inferences) - compared.count
    console.print(
        f"policy: {compared.count} chunks, {compared.identical} identical bit for bit, "
        f"largest difference {compared.largest:.3g} rad or m"
        + (f"; {failed} inferences had no outcome" if failed else ""),
        markup=False,
    )
    return compared.largest <= SAME


if __name__ == "__main__":
    sys.exit(main())
