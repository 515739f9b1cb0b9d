# SPDX-License-Identifier: Apache-2.0
"""A contract for import-linter: a module whose name begins with "_" belongs to its package alone."""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output


class PrivateModules(Contract):
    """No module imports a private module of another package.

    ``a.b._c`` is private to ``a.b``: ``a.b`` and everything below it may import it, nobody else. What others
    need, ``a.b`` exports in its ``__init__.py``.
    """

    type_name = "private_modules"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
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
        for importer, imported in check.metadata["broken"]:
            package = imported.rpartition(".")[0]
            output.print_error(f"{importer} imports {imported}: import it from {package}, which exports it.")
