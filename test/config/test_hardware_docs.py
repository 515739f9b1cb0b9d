# SPDX-License-Identifier: Apache-2.0
"""docs/hardware.md explains every reason of a HOLD and no other, and its links work."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dit_policy_ros.core.sensing import Jump

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "hardware.md").read_text()
PACKAGE = ROOT / "dit_policy_ros"
SOURCES = [
    *(PACKAGE / "ros" / "policy").glob("*.py"),
    *(PACKAGE / "ros" / "controllers").glob("*.py"),
    PACKAGE / "core" / "motion" / "_chunk_deadline.py",
    PACKAGE / "core" / "motion" / "_clock_tolerance.py",
]
# Functions that return the beginning of a reason.
DESCRIBING = ("fault", "chunk_fault", "describe", "clock_problem", "other_commander")


def reason_expressions(tree: ast.AST) -> Iterator[ast.expr]:
    """Arguments of `hold` and `_on_rejected`, values of variables named `fault` and of what describes one."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="hold" | "_on_rejected"), args=[reason, *_]):
                yield reason
            case ast.Assign(targets=[ast.Name(id="fault")], value=reason):
                yield reason
            case ast.FunctionDef(
                name="fault" | "chunk_fault" | "describe" | "clock_problem" | "other_commander"
            ):
                returns = (each for each in ast.walk(node) if isinstance(each, ast.Return))
                yield from (each.value for each in returns if each.value is not None)


def beginning(expression: ast.expr) -> str:
    """The first constant part of a text, up to a colon; empty if the expression is no text."""
    match expression:
        case ast.Constant(value=str(text)):
            return text.partition(":")[0].strip()
        case ast.BinOp(left=left):
            return beginning(left)
        case ast.JoinedStr(values=values):
            return next(found for value in values if (found := beginning(value)))
    return ""


def reasons() -> set[str]:
    found = {beginning(each) for path in SOURCES for each in reason_expressions(ast.parse(path.read_text()))}
    return (found | {str(Jump(by_ns=1, expected_ns=0))}) - {""}


def explained() -> list[str]:
    """How the reasons in the table begin, without the name of a controller."""
    table = DOCS.partition("## Why it holds")[2].partition("\n## ")[0]
    cells = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    return [cell.removeprefix("*controller*").strip() for cell in cells[1:]]  # without the heading


def test_the_reasons_are_found_in_the_sources():
    assert {
        "e-stop",
        "plan rejected",
        "inference failed",
        "stale observation",
        "starved",
        "no chunk",
    } <= reasons()


@pytest.mark.parametrize("reason", sorted(reasons()))
def test_every_reason_is_explained(reason):
    assert any(reason.startswith(words) for words in explained())


@pytest.mark.parametrize("words", explained())
def test_every_explained_reason_exists(words):
    assert any(reason.startswith(words) for reason in reasons())


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)", DOCS):
        assert (ROOT / "docs" / link).exists(), link
