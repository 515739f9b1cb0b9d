# SPDX-License-Identifier: Apache-2.0
"""docs/troubleshooting.md has an entry for every HOLD, every refused start and every failed check."""

from pathlib import Path

import pytest
from refusals import GAP, hold_reasons, keys_compared, listed_by, raised

DOCS = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
REFUSALS = (
    raised()
    | listed_by("ros/recorder/_readiness.py", "start_problems")
    | listed_by("ros/policy/_preflight.py", "_unreachable")
    | raised(("core/motion", "core/takeover"))
    | listed_by("core/motion/_plan_check.py", "joints_outside_limits")
    | listed_by("ros/common/_scheduling.py", "silent_clock")
)
CHECKS = listed_by("core/recording/_episode_check.py", "check_episode", "_camera_reasons")
MISSING = "docs/troubleshooting.md needs a row for this text, with the command that shows its cause"


def entries(*titles: str) -> list[str]:
    """First cells of the tables below some headings."""
    parts = [DOCS.partition(f"# {title}\n")[2].partition("\n#")[0] for title in titles]
    rows = [line for part in parts for line in part.splitlines() if line.startswith("| ")]
    cells = [line.split(" | ")[0].removeprefix("| ").strip() for line in rows]
    return [cell for cell in cells if cell not in ("text", "key", "symptom", "reason begins with")]


REFUSED = entries("It does not start", "The inference node", "No episode begins")
FAILED = entries("The check of an episode fails")
HELD = entries("It holds")


def fits(entry: str, text: str) -> bool:
    """Whether the parts of an entry, between its gaps, are in the text in their order."""
    begin = 0
    for part in filter(None, (part.strip() for part in entry.split(GAP))):
        begin = text.find(part, begin) + len(part)
        if begin < len(part):
            return False
    return True


@pytest.mark.parametrize("text", sorted(REFUSALS))
def test_every_refusal_has_an_entry(text):
    assert any(fits(entry, text) for entry in REFUSED), MISSING


@pytest.mark.parametrize("text", sorted(CHECKS))
def test_every_failed_check_has_an_entry(text):
    assert any(fits(entry, text) for entry in FAILED), MISSING


@pytest.mark.parametrize("reason", sorted(hold_reasons()))
def test_every_hold_has_the_command_that_shows_its_cause(reason):
    assert any(reason.startswith(entry.strip(f"{GAP} ")) for entry in HELD), MISSING


@pytest.mark.parametrize("key", sorted(keys_compared("core/policy_interface/_compatibility.py")))
def test_every_difference_of_a_checkpoint_has_an_entry(key):
    named = "".join(entries("The checkpoint does not fit the robot")).replace("<name>", GAP)
    assert key.replace(f"{GAP} dimension", "state dimension") in named, MISSING


def test_the_entry_of_a_gone_text_fits_nothing():
    assert fits("a … b", "a x b") and not fits("b … a", "a x b") and not fits("gone", "a x b")


def test_every_entry_of_a_check_or_a_hold_is_about_something_in_the_sources():
    assert [entry for entry in FAILED if not any(fits(entry, text) for text in CHECKS)] == []
    assert [e for e in HELD if not any(r.startswith(e.strip(f"{GAP} ")) for r in hold_reasons())] == []
