# SPDX-License-Identifier: Apache-2.0
"""Writes the generated pages."""

from collections.abc import Callable
from pathlib import Path

from tools.reference._interfaces import interfaces_page
from tools.reference._repository_links import PAGES, rewrite_links

_NOTE = "<!-- Made from the sources by tools/reference; changes here are lost. -->\n"


def generate(root: Path) -> dict[str, str]:
    """Write docs/generated.

    Args:
        root: of the repository.

    Returns:
        Pages that could not be made, and why: a Python package that is not installed.
    """
    folder = root / "docs" / "generated"
    folder.mkdir(exist_ok=True)
    problems: dict[str, str] = {}
    pages = {**_makers(root), **{Path(page).name: _copier(root, file) for file, page in PAGES.items()}}
    for old in set(folder.glob("*.md")) - {folder / name for name in pages}:
        old.unlink()
    for name, make in pages.items():
        try:
            text = make()
        except ModuleNotFoundError as error:
            problems[name] = str(error)
            title = name.removesuffix(".md")
            text = f"# {title}\n\nThis page could not be made: {error}. `make docs` makes it.\n"
        _write(folder / name, _NOTE + text)
    return problems


def _write(path: Path, text: str) -> None:
    """Leaves a file alone that has the text already, so that Sphinx reads it once."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _copier(root: Path, file: str) -> Callable[[], str]:
    page = root / "docs" / PAGES[file]
    return lambda: rewrite_links((root / file).read_text(), page, (root / file).parent, root)


def _makers(root: Path) -> dict[str, Callable[[], str]]:
    """How each page is made. What needs more than the standard library is imported in there."""

    def parameters() -> str:
        from tools.reference._parameters import parameters_page

        return parameters_page()

    def contract() -> str:
        from tools.reference._parameters import contract_page

        return contract_page()

    def commands() -> str:
        from tools.reference._commands import commands_page

        return commands_page()

    def exit_codes() -> str:
        from tools.reference._commands import exit_codes_page

        return exit_codes_page()

    def python_api() -> str:
        from tools.reference._python_api import python_api_page

        return python_api_page(root)

    return {
        "parameters.md": parameters,
        "contract.md": contract,
        "commands.md": commands,
        "exit_codes.md": exit_codes,
        "interfaces.md": lambda: interfaces_page(root),
        "python_api.md": python_api,
    }
