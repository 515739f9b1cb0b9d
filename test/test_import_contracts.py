# SPDX-License-Identifier: Apache-2.0
"""The import contract for private modules, on small graphs that keep it and that break it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter is not installed")
import grimp

from tools.import_contracts import PrivateModules

ROOT = Path(__file__).resolve().parents[1]


def violations(*imports: tuple[str, str]) -> list[tuple[str, str]]:
    """What the contract finds in a graph of (importer, imported)."""
    graph = grimp.ImportGraph()
    for importer, imported in imports:
        for module in (importer, imported):
            graph.add_module(module)
        graph.add_import(importer=importer, imported=imported)
    contract = PrivateModules("private modules", {"root_packages": ["robot"]}, {})
    check = contract.check(graph, verbose=False)
    assert check.kept == (not check.metadata["broken"])
    return check.metadata["broken"]


@pytest.mark.parametrize(
    "importer", ["robot.arm", "robot.arm._motor", "robot.arm.driver", "robot.arm.driver._bus"]
)
def test_a_package_and_everything_below_it_may_import_its_private_modules(importer: str) -> None:
    assert violations((importer, "robot.arm._limits")) == []


@pytest.mark.parametrize("importer", ["robot", "robot.hand", "robot.hand._motor", "robot.arms", "robot._arm"])
def test_no_other_module_may(importer: str) -> None:
    assert violations((importer, "robot.arm._limits")) == [(importer, "robot.arm._limits")]


def test_public_modules_are_free_for_all() -> None:
    assert violations(("robot.hand", "robot.arm"), ("robot.hand", "robot.arm.driver")) == []


def test_every_violation_is_reported() -> None:
    forbidden = [
        ("robot.hand", "robot.arm._limits"),
        ("robot.leg", "robot.arm._limits"),
        ("robot.arm", "robot.leg._foot"),
    ]
    assert violations(*forbidden) == forbidden


CONFIGURATION = """
[importlinter]
root_package = robot
contract_types =
    private_modules: tools.import_contracts.PrivateModules

[importlinter:contract:private]
name = private modules
type = private_modules
"""


def test_lint_imports_fails_and_says_what_to_import_instead(tmp_path) -> None:
    for package in ("robot", "robot/arm"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "robot" / "arm" / "_limits.py").touch()
    (tmp_path / "robot" / "hand.py").write_text("from robot.arm import _limits\n")
    (tmp_path / "contracts.ini").write_text(CONFIGURATION)
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", "contracts.ini"]

    def lint() -> subprocess.CompletedProcess:
        return subprocess.run(
            list(map(str, command)),
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )

    broken = lint()
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "robot.hand imports robot.arm._limits: import it from robot.arm" in broken.stdout
    (tmp_path / "robot" / "hand.py").write_text("import robot.arm\n")
    kept = lint()
    assert kept.returncode == 0, kept.stdout + kept.stderr
