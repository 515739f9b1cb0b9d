# SPDX-License-Identifier: Apache-2.0
"""A contract for import-linter: a module whose name begins with "_" is private to its package."""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output


class PrivateModules(Contract):
    """No module imports a private module of another package.

    ``a.b._c`` is private to ``a.b``. Only ``a.b`` and the modules below it may import it. Anything that other
    packages need, ``a.b`` exports in its ``__init__.py``.
    """

    type_name = "private_modules"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Finds the forbidden imports, as (importer, imported)."""
        broken = []
        for imported in sorted(graph.modules):
            package, _, name = imported.rpartition(".")
            if not name.startswith("_") or not package:
                continue
            for importer in sorted(graph.find_modules_that_directly_import(imported)):
                if importer != package and not importer.startswith(package + "."):
                    broken.append((importer, imported))
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints each forbidden import and the package to import from instead."""
        for importer, imported in check.metadata["broken"]:
            package = imported.rpartition(".")[0]
            output.print_error(
                f"{importer} imports {imported}: import it from {package} and export it there."
            )
