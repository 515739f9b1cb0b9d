# SPDX-License-Identifier: Apache-2.0
"""The names in the documentation exist: files, classes and methods, functions, parameters, topics, services,
options, commands and make targets. What is checked is what stands between backticks.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dit_policy_ros"
WRITTEN = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "tutorials").glob("*.md")]
DOCS = sorted([*WRITTEN, ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
# Figures that are thresholds, as the code has them, and no measurements: page and heading.
THRESHOLDS = frozenset(
    {
        ("guarantees.md", "## Not guaranteed"),
        ("inference.md", "### `unseen_state`"),
        ("motion.md", "## Grippers under parallel_gripper_controller (`ros/controllers/_gripper_client.py`)"),
        ("robots.md", "## Your robot in simulation"),
        ("training.md", "## Own words"),
    }
)
# Names of other programs and libraries, that our sources do not use.
FOREIGN = frozenset(
    {
        "--all-services",  # ros2 bag record
        "--nproc_per_node",  # torchrun
        "--logdir",  # tensorboard
        "--show-args",  # ros2 launch
        "--verbose",  # ros2 topic info
        "--packages-select",  # colcon
        "--from-paths",  # rosdep
        "--ignore-src",  # rosdep
        "robot_client",  # LeRobot
        "--actions_per_chunk",  # LeRobot
        "--chunk_size_threshold",  # LeRobot
        "concatenate_videos",  # LeRobot
        "StreamingLeRobotDataset",  # LeRobot
        "GenericSystem",  # mock_components, ros2_control
        "avx512_bf16",  # lscpu
        "amx_bf16",  # lscpu
    }
)
NODES = {
    "policy": "ros/policy",
    "inference": "ros/inference",
    "recorder": "ros/recorder",
    "sim": "ros/sim",
    "teleop": "ros/sim",
}


def spans(text: str) -> list[str]:
    """The texts between backticks, outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


@cache
def files() -> frozenset[str]:
    """Paths of all files and folders, and every end of them: `a/b.py` and `b.py`."""
    hidden = {".venv", ".git", "out", "build", "install", "log", "__pycache__"}
    ends: set[str] = set()
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if not hidden & set(parts):
            ends |= {"/".join(parts[i:]) for i in range(len(parts))}
    return frozenset(ends)


@cache
def sources(folder: str = "") -> str:
    """All code, interfaces and shipped files of a folder of the package, or of the whole repository."""
    roots = [PACKAGE / folder] if folder else [ROOT / name for name in CODE]
    kinds = {".py", ".msg", ".srv", ".yaml", ".xml", ".txt", ".toml", ".json", ""}
    listed = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    return "\n".join(
        path.read_text(errors="ignore")
        for path in listed
        if path.is_file() and path.suffix in kinds and path.stat().st_size < 1_000_000
    )


CODE = (
    "dit_policy_ros", "lerobot_plugins", "msg", "srv", "launch", "config", "scripts", "bench", "test/support",
    "test/conftest.py", "CMakeLists.txt", "Makefile", "package.xml", "pyproject.toml",
)  # fmt: skip


def shared_sources(owner: str) -> list[str]:
    """Those of a node, and of the packages that nodes share."""
    return [sources(folder) for folder in (owner, "ros/common", "ros/teleoperation")]


@cache
def words(folder: str = "") -> frozenset[str]:
    """Every identifier in the sources, also as a part of a text; and the names of modules and interfaces."""
    stems = {Path(name).stem for name in files() if "/" not in name}
    return frozenset(re.findall(r"\w+", sources(folder))) | stems


@cache
def classes() -> dict[str, set[str]]:
    """Names in the bodies of our classes, by class."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                inside = {each.name for each in ast.walk(node) if isinstance(each, ast.FunctionDef)}
                inside |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
                inside |= {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
                found.setdefault(node.name, set()).update(inside)
    return found


def unknown(span: str) -> str:
    """What of a text between backticks does not exist; empty if all of it does, or if it names nothing."""
    if span in files():
        return ""
    for check in (unknown_command, unknown_file, unknown_member, unknown_topic, unknown_word):
        if (missing := check(span)) is not None:
            return missing
    return ""


def unknown_command(span: str) -> str | None:
    """`make TARGET`, `dit_policy PROGRAM` and their options."""
    program, _, rest = span.partition(" ")
    target = rest.split(" ")[0]
    if program == "make" and re.fullmatch(r"[a-z][a-z-]*", target):
        return "" if re.search(rf"^{target}\b.*:", (ROOT / "Makefile").read_text(), re.MULTILINE) else span
    if program == "dit_policy" and re.fullmatch(r"[a-z][a-z_]*", target) and f'"{target}"' not in cli_main():
        return target
    options = set(re.findall(r"(?<![\w-])--[a-z][\w.-]*", span)) - FOREIGN
    missing = [option for option in options if not is_option(option)]
    if missing or options or program in ("make", "dit_policy"):
        return " ".join(missing)
    return None


@cache
def cli_main() -> str:
    return (PACKAGE / "cli" / "main.py").read_text()


def is_option(option: str) -> bool:
    """Whether an option is in our sources, as a text or as the name of a field that becomes one.

    A field that is a bool or unknown becomes two: `--stream` and `--no-stream`. LeRobot writes the name of a
    part before it: `--policy.guidance_scale`.
    """
    name = option.removeprefix("--").rpartition(".")[2].replace("-", "_")
    return option in sources() or name in words() or _is_switch(name.removeprefix("no_"))


def _is_switch(name: str) -> bool:
    return re.search(rf"^    {name}: bool( \| None)? = ", sources(), re.MULTILINE) is not None


def unknown_file(span: str) -> str | None:
    """Source files and folders: `a/b.py`, `_b.py`, `core/motion/`, also with `*`."""
    if not re.fullmatch(r"[\w./*-]+(\.(py|msg|srv|md|xml|yaml|toml)|/)", span) or span.startswith(("/", "~")):
        return None
    if re.search(r"[A-Z]{4}", span.removesuffix(".md")) or "*" in span:  # a placeholder or a pattern
        return ""
    if span.endswith(("yaml", "/")) and "/" not in span.rstrip("/"):
        return None  # also names of files that users and programs write
    if span.endswith((".py", ".msg", ".srv")):
        return "" if span in files() else span
    named_in_code = set(re.findall(r"\w+", span)) <= words()  # a program writes it
    return "" if span.rstrip("/") in files() or named_in_code else span


def unknown_member(span: str) -> str | None:
    """`Class.member` and `function(...)`."""
    if match := re.fullmatch(r"([A-Z]\w+)\.(\w+)(\(.*\))?", span):
        members = classes().get(match[1])
        return "" if members is not None and match[2] in members else span
    if match := re.fullmatch(r"([a-z_][\w.]*)\(.*\)", span):
        parts = match[1].split(".")
        return "" if len(parts[-1]) < 4 or set(parts) <= words() else span
    return None


def unknown_topic(span: str) -> str | None:
    """Topics, services and actions: `~/resume`, `/policy/status`, `/clock`."""
    if not (match := re.fullmatch(r"(~|/\w+)?((/[\w<>]+)*)", span)) or not span.startswith(("~/", "/")):
        return None
    node, rest = (match[1] or "").lstrip("/"), match[2].lstrip("/")
    if node not in {"~", *NODES}:
        return "" if set(re.findall(r"\w+", re.sub(r"<\w+>", "", span))) <= words() | {"left_cell"} else span
    own = rest.partition("<")[0]
    owners = [NODES[node]] if node in NODES else sorted(set(NODES.values()))
    texts = [text for owner in owners for text in shared_sources(owner)]
    names = (f'"~/{own}', f'"{own.split("/")[0]}"')
    return "" if not own or any(name in text for name in names for text in texts) else span


def unknown_word(span: str) -> str | None:
    """Parameters, fields, modules and classes; also `name: value` and `name=value`."""
    name = re.split(r"(?::=|[:= ])", span, maxsplit=1)[0]
    is_name = re.fullmatch(r"[A-Za-z_][\w<>]*(\.[\w<>]+)*", name)
    if not is_name or not re.search(r"[_.]|[a-z][A-Z]", name) or name in FOREIGN:
        return None
    parts = [part for part in name.split(".") if not part.startswith("<")]
    if name.startswith("_") and any(word.endswith(name) for word in words()):
        return ""  # `a_p50`, `_p95`: the same with another ending
    if name in files() or re.fullmatch(r"[A-Z_]+|.*\.(\w?json\w?|mp4|png|jpg|log|md|yaml|safetensors)", name):
        return ""
    return "" if set(parts) - FOREIGN <= words() else span


@pytest.mark.parametrize("doc", DOCS, ids=lambda path: path.name)
def test_every_name_in_the_documentation_exists(doc: Path) -> None:
    missing = {span: gone for span in spans(doc.read_text()) if (gone := unknown(span))}
    assert not missing


@pytest.mark.parametrize("doc", DOCS, ids=lambda path: path.name)
def test_every_command_in_a_code_block_exists(doc: Path) -> None:
    blocks = re.findall(r"```.*?```|^    .*$", doc.read_text(), flags=re.DOTALL | re.MULTILINE)
    command = r"^\s*(?:\$ )?(make [a-z][a-z-]*|dit_policy [a-z][a-z_]*)(?=[\s#]|$)"
    commands = re.findall(command, "\n".join(blocks), flags=re.MULTILINE)
    assert not [command for command in commands if unknown(command)]


def unproved(text: str) -> list[str]:
    """Headings of sections with a percentage or milliseconds but no command or test that measures them."""
    figure = r"(?<![\w.])\d+(?:\.\d+)? ?(?:%|ms\b)"
    command = r"make [a-z]|bench/|bench_\w+\.py|dit_policy [a-z]|test/[\w/]+\.py|du -sh"
    sections = re.split(r"^(?=#{1,4} )", text, flags=re.MULTILINE)
    return [
        section.splitlines()[0]
        for section in sections
        if re.search(figure, section) and not re.search(command, section)
    ]


@pytest.mark.parametrize("doc", DOCS, ids=lambda path: path.name)
def test_every_figure_has_a_command_or_a_test_in_its_section(doc: Path) -> None:
    measured = [each for each in unproved(doc.read_text()) if (doc.name, each) not in THRESHOLDS]
    assert measured == []


def test_a_figure_without_a_command_is_found() -> None:
    assert unproved("# A\nIt takes 12 ms.\n## B\n97% by `make evaluate`.\n") == ["# A"]


@pytest.mark.parametrize(
    "span",
    [
        "Pipeline.limit_counts", "Gone.method", "core/motion/_gone.py", "_gone.py", "core/goneaway/",
        "/policy/gone", "~/gone", "/recorder/gone_episode", "/policy/gone/<controller>/joint_trajectory",
        "max_blind_tyme", "check.max_gone", "ensemble.gone_mode: act", "gone_function(...)", "GoneClass",
        "make gone", "dit_policy gone", "--gone-option", "dit_policy train --gone-option 3", "msg/Gone.msg",
    ],
)  # fmt: skip
def test_what_does_not_exist_is_found(span: str) -> None:
    assert unknown(span)
