# SPDX-License-Identifier: Apache-2.0
"""The texts with which the nodes refuse, read from the sources: what is filled in at run time becomes `…`."""

import ast
from collections.abc import Iterator
from pathlib import Path

from dit_policy_ros.core.sensing import Jump

PACKAGE = Path(__file__).resolve().parents[2] / "dit_policy_ros"
GAP = "…"
# What these raise is a refused start or a refused request.
NODES = ("ros/policy", "ros/recorder", "ros/inference", "ros/inference_link")
_ERRORS = ("ParameterError", "TaskError", "DitPolicyError", "DatasetError", "InferenceError", "StreamError")


def text_of(expression: ast.expr) -> str:
    """A text as it is written, with gaps for its variable parts."""
    match expression:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(map(text_of, values))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text_of(left) + text_of(right)
    return GAP


def raised(folders: tuple[str, ...] = NODES) -> set[str]:
    """Texts of the errors that a user can mend, raised in some packages."""
    found = set()
    for path in (path for folder in folders for path in sorted((PACKAGE / folder).glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[text, *_])) if name in _ERRORS:
                    found.add(text_of(text))
    return {text for text in found if text.strip(GAP + " \n:")}


def listed_by(module: str, *functions: str) -> set[str]:
    """Texts that functions append to a list, add to one, return or make in a comprehension."""
    tree = ast.parse((PACKAGE / module).read_text())
    bodies = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in functions]
    if {body.name for body in bodies} != set(functions):
        raise ValueError(f"{module} has not all of {functions}")
    texts = {text_of(each) for body in bodies for each in _listed(body)}
    return {text for text in texts if text.strip(GAP + " \n:")}


def _listed(body: ast.FunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(body):
        match node:
            case ast.Call(func=ast.Attribute(attr="append"), args=[value]):
                yield value
            case ast.Call(func=ast.IfExp(), args=[value]):
                yield value
            case ast.ListComp(elt=value) | ast.DictComp(value=value) | ast.Assign(value=value):
                yield value
            case ast.Return(value=ast.JoinedStr() as value):
                yield value


def keys_compared(module: str) -> set[str]:
    """First arguments of `problems.add`: what of a checkpoint and a contract is compared."""
    tree = ast.parse((PACKAGE / module).read_text())
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="problems"), attr="add"), args=[key, *_]):
                found.add(text_of(key))
    return found - {GAP}


SOURCES = [
    *(PACKAGE / "ros" / "policy").glob("*.py"),
    *(PACKAGE / "ros" / "controllers").glob("*.py"),
    *(PACKAGE / "ros" / "inference").glob("*.py"),
    *(PACKAGE / "ros" / "inference_link").glob("*.py"),
    *(PACKAGE / "core" / "takeover").glob("*.py"),
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


def hold_reasons() -> set[str]:
    """How the reasons of a HOLD begin."""
    found = {beginning(each) for path in SOURCES for each in reason_expressions(ast.parse(path.read_text()))}
    return (found | {str(Jump(by_ns=1, expected_ns=0))}) - {""}
