# SPDX-License-Identifier: Apache-2.0
"""The rules of CONTRIBUTING.md that a machine can check."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dit_policy_ros.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dit_policy_ros"
MODULES = sorted(PACKAGE.rglob("*.py"))
PLUGINS = sorted((ROOT / "lerobot_plugins").rglob("*.py"))
LONGEST = 400  # lines
FULLEST = 16  # files in a folder: 15 modules and __init__.py
MOST_ARGUMENTS = 6  # of a constructor, without self
LICENCE = "# SPDX-License-Identifier: Apache-2.0"


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def modules_of(layer: str) -> list[str]:
    """Dotted names of a layer's packages and modules."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in (PACKAGE / layer).rglob("*.py")]
    return [".".join(path.parts).removesuffix(".__init__") for path in paths]


def test_imports_point_one_way():
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    linter = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert linter.returncode == 0, linter.stdout + linter.stderr


@pytest.mark.parametrize("layer", ["core", pytest.param("policy", marks=pytest.mark.slow), "data"])
def test_layers_below_ros_leave_rclpy_alone(layer):
    names = ", ".join(modules_of(layer))
    fresh = run(sys.executable, "-c", f"import {names}, sys; sys.exit('rclpy' in sys.modules)")
    assert fresh.returncode == 0, fresh.stderr or f"importing {layer} pulled in rclpy"


def test_core_needs_numpy_only():
    names = ", ".join(modules_of("core"))
    heavy = {"torch", "lerobot", "mujoco", "cv2", "av", "yaml", "scipy"}
    fresh = run(sys.executable, "-c", f"import {names}, sys; print(*{heavy!r} & set(sys.modules))")
    assert fresh.returncode == 0, fresh.stderr
    assert fresh.stdout.strip() == ""


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file imports, and whether it does at its top, where importing it imports them."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name, id(node) not in inside) for name in names)


def test_lerobot_is_imported_by_one_package_and_when_it_is_needed():
    """Importing LeRobot takes seconds and changes logging; the nodes must work without it."""
    ours = "dit_policy_ros.policy.lerobot_policies"
    at_the_top, policies, reached = [], [], []
    for path in MODULES:
        name = str(path.relative_to(PACKAGE))
        if name.startswith("policy/lerobot_policies/"):
            continue
        for imported, is_at_the_top in imports_of(path):
            if imported.split(".")[0] == "lerobot":
                at_the_top += [name] * is_at_the_top
                policies += [name] * imported.startswith(("lerobot.policies", "lerobot.processor"))
            elif imported.startswith(ours):
                reached.append((name, is_at_the_top))
    assert at_the_top == []
    assert policies == []
    assert set(reached) == {("policy/_loading.py", False)}


def test_modules_stay_short():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (*MODULES, *PLUGINS)
    }
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


def test_folders_stay_small():
    folders = Counter(str(path.parent.relative_to(ROOT)) for path in (*MODULES, *PLUGINS))
    assert {folder: files for folder, files in folders.items() if files > FULLEST} == {}


def constructors(path: Path) -> Iterator[tuple[str, ast.arguments]]:
    """The written constructors of a module, by class; a dataclass has none."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    yield f"{path.relative_to(ROOT)}: {node.name}", method.args


def test_constructors_take_few_arguments():
    counts = {
        name: len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
        for path in (*MODULES, *PLUGINS)
        for name, arguments in constructors(path)
    }
    assert len(counts) > 100  # the search finds them
    assert {name: count for name, count in counts.items() if count > MOST_ARGUMENTS} == {}


def test_packages_say_what_they_are_for():
    silent = [
        str(path.relative_to(ROOT))
        for path in (*MODULES, *PLUGINS)
        if path.name == "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_modules_name_their_licence():
    assert [
        str(path) for path in (*MODULES, *PLUGINS) if not path.read_text().startswith(LICENCE + "\n")
    ] == []


def test_every_executable_calls_an_existing_main():
    for script in sorted((ROOT / "scripts").iterdir()):
        (name,) = re.findall(r'^sys\.exit\(run\("(\w+)"\)\)$', script.read_text(), re.MULTILINE)
        assert name == script.name
        module = ROOT / (COMMANDS[name].module.replace(".", "/") + ".py")
        assert module.exists(), f"{script.name}: there is no {module}"
        assert "\ndef main(" in module.read_text(), f"{script.name}: {module} has no main()"
        assert script.stat().st_mode & 0o111, f"{script.name} is not executable"
