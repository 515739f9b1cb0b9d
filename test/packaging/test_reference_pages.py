# SPDX-License-Identifier: Apache-2.0
"""The generated pages of the documentation have everything that their sources have."""

import re
from pathlib import Path

import pytest

from dit_policy_ros.cli.main import PROGRAMS
from dit_policy_ros.ros.common import CONTRACT_PARAMETERS
from tools.reference import generate, rewrite_links, unlisted, with_pages
from tools.reference._commands import commands_page, exit_codes_page, parsers
from tools.reference._interfaces import interfaces_page
from tools.reference._parameters import NODE_TABLES, contract_page, parameters_page
from tools.reference._python_api import python_api_page

ROOT = Path(__file__).resolve().parents[2]
LOADING = '''
def load(path: str, *, device: str = "cpu") -> int:
    """Load it.

    Args:
        path: of *it*.

    Raises:
        OSError: it is gone.
    """


def hidden() -> None:
    """Not for users."""
'''
EXPORTING = '''"""What it is."""
from dit_policy_ros.policy._loading import load

__all__ = ["load"]
'''


def section(page: str, title: str) -> str:
    """What stands below a heading of the second level."""
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("node", NODE_TABLES)
def test_every_parameter_of_a_node_is_in_its_table(node):
    rows = re.findall(r"^\| `([^`]+)` \|", section(parameters_page(), node), re.MULTILINE)
    assert rows == [parameter.name for parameter in NODE_TABLES[node]]


def test_every_key_of_the_contract_is_listed():
    rows = re.findall(r"^\| `([^`]+)` \|", contract_page(), re.MULTILINE)
    assert rows == [parameter.name for parameter in CONTRACT_PARAMETERS]


def test_every_program_and_each_of_its_options_is_listed():
    page = commands_page()
    for name in PROGRAMS:
        text = section(page, name)
        options = {o for parser in parsers()[name] for a in parser._actions for o in a.option_strings}
        assert options - {"-h", "--help", "--version"} <= set(re.findall(r"(?<![\w-])-[\w-]+", text)), name


def test_exit_codes_that_programs_state_are_listed():
    page = exit_codes_page()
    assert "0 done, 1 it failed, 2 used wrongly, 130 interrupted" in page
    assert "| `replay` | 0 reproduced, 1 not reproduced" in page


def test_every_interface_is_listed():
    page = interfaces_page(ROOT)
    files = [path for folder in ("msg", "srv") for path in (ROOT / folder).iterdir()]
    assert all(f"\n### {path.stem}\n" in page for path in files)


def test_the_api_lists_what_a_package_exports_with_signature_and_errors(tmp_path):
    package = tmp_path / "dit_policy_ros"
    for folder in ("policy", "data", "evaluation"):
        (package / folder).mkdir(parents=True)
        (package / folder / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "policy" / "_loading.py").write_text(LOADING)
    (package / "policy" / "__init__.py").write_text(EXPORTING)
    page = python_api_page(tmp_path)
    assert "load(path: str, *, device: str = 'cpu') -> int" in page
    assert r"- `path`: of \*it\*." in page and "- `OSError`: it is gone." in page
    assert "hidden" not in page


def test_a_missing_package_is_named_on_the_page(tmp_path, monkeypatch):
    def broken(root: Path) -> dict:
        def make() -> str:
            raise ModuleNotFoundError("No module named 'rclpy'", name="rclpy")

        return {"parameters.md": make}

    (tmp_path / "docs").mkdir()
    (tmp_path / "bench").mkdir()
    for file in ("README.md", "CONTRIBUTING.md", "bench/README.md"):
        (tmp_path / file).write_text("# Title\n")
    monkeypatch.setattr("tools.reference._pages._makers", broken)
    assert generate(tmp_path) == {"parameters.md": "No module named 'rclpy'"}
    assert "No module named 'rclpy'" in (tmp_path / "docs" / "generated" / "parameters.md").read_text()


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[a](docs/motion.md#limits)", "[a](../motion.md#limits)"),
        ("![a](docs/images/robot.png)", "![a](../images/robot.png)"),
        ("[a](msg)", "`msg`"),
        ("[a](CONTRIBUTING.md)", "[a](contributing.md)"),
        ("[a](config/bimanual.yaml)", "[a](../../config/bimanual.yaml)"),
        ("[a](https://example.com/x)", "[a](https://example.com/x)"),
        ("[a](#here)", "[a](#here)"),
    ],
)
def test_links_of_the_readme_lead_to_pages_of_the_site(link, expected):
    assert rewrite_links(link, ROOT / "docs" / "generated" / "overview.md", ROOT, ROOT) == expected


def test_a_page_that_no_index_names_is_shown_all_the_same(tmp_path):
    tree = "# Title\n\n```{toctree}\n:hidden:\n\nlisted\n```\n"
    (tmp_path / "index.md").write_text(tree)
    (tmp_path / "listed.md").write_text("# A\n")
    (tmp_path / "new.md").write_text("# B\n")
    assert unlisted(tmp_path) == ["new"]
    assert with_pages(tree, ["new"]) == tree.replace("listed\n", "listed\nnew\n")


def test_new_pages_come_last_among_the_how_tos():
    shown = with_pages((ROOT / "docs" / "how_to.md").read_text(), ["new"])
    assert "faq\n" in shown and shown.index("\nnew\n") > shown.index("\nfaq\n")
