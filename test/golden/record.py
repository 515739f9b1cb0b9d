# SPDX-License-Identifier: Apache-2.0
"""Stores the values that the golden test compares with: ``python test/golden/record.py [GROUP ...]``.

Seldom run: whoever stores anew declares that the package is to behave differently from now on, and that what
the robot is told may change. The reasons to do so:

- a change of behaviour on purpose; then only its groups, and the commit says what changed and why;
- a new version of a library on which a group depends (see ``DEPENDS`` in stored.py), after the test has
  passed within its tolerances;
- a machine of another kind, where the test compares within tolerances only. For a restructuring done there,
  store the values of the commit before it, and do not commit them.

Never the reason: the test fails after a change that was to change nothing.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in (".", "test/support", "test/support/learning")]


def main() -> None:
    from stored import GROUPS, compute, differences, write  # they need the paths above

    parser = argparse.ArgumentParser(description="Stores the values of the golden test.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    chosen = tuple(parser.parse_args().groups or GROUPS)
    if unknown := [group for group in chosen if group not in GROUPS]:
        parser.error(f"unknown groups {unknown}; known: {', '.join(GROUPS)}")
    write(chosen)
    for group in chosen:
        unsteady = differences(group, compute(group), exact=True)
        print(f"{group}: stored; a second run {'differs in ' + str(unsteady) if unsteady else 'agrees'}")


if __name__ == "__main__":
    main()
