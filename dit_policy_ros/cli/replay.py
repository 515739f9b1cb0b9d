# SPDX-License-Identifier: Apache-2.0
"""`dit_policy replay`: repeat, without a robot, what the policy node did before an incident.

The policy node keeps its last seconds in memory and writes them to a folder on HOLD, on an e-stop and when
/policy/save_incident is called. This command gives the recorded observations to the policy (if its checkpoint
is available) and the recorded chunks to the motion pipeline, and compares the chunks and commands with the
recorded ones, bit for bit.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dit_policy_ros.cli.common import (
    CommandParser,
    add_device_option,
    add_json_option,
    message_console,
    print_json,
)
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.share import package_version
from dit_policy_ros.data.incident_folder import StoredIncident, read_incident
from dit_policy_ros.evaluation.consoles import figures_grid
from dit_policy_ros.evaluation.replay import replay_motion, replay_policy, write_commands

EXAMPLE = """\
examples:
  dit_policy replay ~/.ros/dit_policy_incidents/incident_20261125_231502_481516_e-stop
  dit_policy replay FOLDER --checkpoint out/pick          the checkpoint is elsewhere on this computer
  dit_policy replay FOLDER --motion-only --picture hold.png
                                                          commanded, measured, limits and chunks
  dit_policy replay FOLDER --motion-only --csv motion.csv
                                                          the commands as a table, for PlotJuggler

Chunks are identical bit for bit on the same kind of device with the same libraries and number of threads.
Elsewhere they differ by rounding, which is shown. Commands made from the recorded chunks are identical
everywhere.

Exit code: 0 reproduced, 1 not reproduced or the incident cannot be used, 2 wrong options.
"""
_EVENTS = 8  # the newest are printed


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("replay", __doc__, EXAMPLE)
    parser.add_argument("incident", type=Path, help="folder of the incident")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FOLDER",
        help="of the policy; default: where it was when the incident happened",
    )  # fmt: skip
    add_device_option(parser, default="cpu")
    parser.add_argument("--motion-only", action="store_true", help="do not run the policy")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE",
        help="draw each joint around the HOLD into this PNG, PDF or SVG file",
    )  # fmt: skip
    add_json_option(parser)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the commands here, one row per 5 ms")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay; returns the exit code."""
    options = parse(arguments)
    console = message_console(options, highlight=False, soft_wrap=True)
    try:
        stored = read_incident(options.incident.expanduser())
        print_facts(console, stored)
        result = {"motion": compare_motion(console, stored, options.csv)}
        if options.picture:
            from dit_policy_ros.evaluation.replay import joint_traces, plot_motion

            plot_motion(joint_traces(stored), stored.folder.name, options.picture)
            console.print(f"picture written to {options.picture}", markup=False)
        if not options.motion_only:
            result["policy"] = compare_policy(console, stored, options.checkpoint, options.device)
    except DitPolicyError as error:
        print(f"dit_policy replay: {error}", file=sys.stderr)
        return 1
    is_reproduced = all(part["reproduced"] is not False for part in result.values())
    if is_reproduced:
        console.print("reproduced", style="bold green")
    else:
        console.print("NOT reproduced", style="bold red")
    if options.json:
        print_json({"reproduced": is_reproduced, **incident_facts(stored), **result})
    return 0 if is_reproduced else 1


def incident_facts(stored: StoredIncident) -> dict[str, str]:
    """Why and when the incident was written."""
    facts = stored.facts
    figures = {
        "reason": facts["reason"],
        "written": facts["written"],
        "task": facts["status"]["task"],
        "policy": f"{facts['policy']}; on {facts['device']}",
        "checkpoint": facts["parameters"]["checkpoint"],
    }
    return {label: str(value) for label, value in figures.items()}


def print_facts(console: Console, stored: StoredIncident) -> None:
    """Why and when the incident was written, and the events before it."""
    facts = stored.facts
    console.print(figures_grid(incident_facts(stored)))
    for event in facts["events"][-_EVENTS:]:
        console.print(f"  {event['time']}  {event['kind']}: {event['text']}", markup=False)
    if facts["version"] != package_version():
        console.print(
            f"note: written by version {facts['version']}, this is {package_version()}", style="yellow"
        )


def compare_motion(console: Console, stored: StoredIncident, table: Path | None) -> dict[str, Any]:
    """Repeat the motion pipeline's calls; how many are identical."""
    motion = replay_motion(stored)
    different = motion.different
    result = f"{len(different)} differ, first call {different[0]}" if different else "identical bit for bit"
    console.print(f"motion: {len(motion.calls)} calls, {motion.plans} plans: {result}", markup=False)
    if different:
        first = motion.calls[different[0]]
        before, now = (error or "a plan" for error in (first.call.error, first.error))
        console.print(f"  {first.call.method}: recorded {before}, repeated {now}", markup=False)
    if table is not None:
        try:
            write_commands(table, motion, stored.facts["joints"])
        except OSError as error:
            raise DitPolicyError(f"--csv: {table} cannot be written: {error.strerror}") from error
        console.print(f"commands written to {table}", markup=False)
    return {
        "reproduced": not different,
        "calls": len(motion.calls),
        "plans": motion.plans,
        "different": len(different),
    }


def compare_policy(
    console: Console, stored: StoredIncident, given: Path | None, device: str
) -> dict[str, Any]:
    """Repeat the inferences; how far the chunks are from the recorded ones. "reproduced": None if skipped."""
    checkpoint = given or Path(stored.facts["parameters"]["checkpoint"])
    if given is None and not checkpoint.exists():
        console.print(f"policy: skipped, {checkpoint} does not exist; name the checkpoint with --checkpoint")
        return {"reproduced": None}
    chunks = replay_policy(stored, checkpoint, device)
    failed = f"; {chunks.failed} inferences had no outcome" if chunks.failed else ""
    console.print(
        f"policy: {chunks.count} chunks, {chunks.identical} identical bit for bit, "
        f"largest difference {chunks.max_difference:.3g} rad or m{failed}",
        markup=False,
    )
    return {"reproduced": chunks.is_reproduced, **dataclasses.asdict(chunks)}


if __name__ == "__main__":
    sys.exit(main())
