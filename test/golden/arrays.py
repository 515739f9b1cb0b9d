# SPDX-License-Identifier: Apache-2.0
"""Arrays by name, as the golden test stores them; nothing here knows the package."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

Arrays = dict[str, NDArray]
MS = 1_000_000  # [ns]


def digest(*arrays: NDArray) -> NDArray[np.uint8]:
    """A hash of what the arrays hold, types and shapes included."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(f"{array.dtype.str} {array.shape}".encode())
        whole.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(whole.digest()[:16], np.uint8)


def text(value: str) -> NDArray[np.uint8]:
    """The text as an array."""
    return np.frombuffer(value.encode(), np.uint8)


def file_contents(root: Path) -> Arrays:
    """What every file of a dataset holds."""
    arrays: Arrays = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = path.relative_to(root).as_posix()
        if name != "meta/stats.json":  # the order of its keys changes from process to process
            arrays[f"{name}: bytes digest"] = digest(np.fromfile(path, np.uint8))
        if path.suffix == ".parquet":
            columns = pyarrow.parquet.read_table(path).to_pydict()
            stats = {column: columns.pop(column) for column in sorted(columns) if column.startswith("stats/")}
            if stats:
                arrays[f"{name}: stats"] = _flat(stats)
                arrays[f"{name}: names of stats"] = text("\n".join(stats))
            arrays |= {f"{name}: {column}": _column(values) for column, values in columns.items()}
        elif name == "meta/stats.json":
            for feature, kinds in sorted(json.loads(path.read_text()).items()):
                arrays[f"{name}: {feature}"] = _flat(kinds)
                arrays[f"{name}: {feature}, names"] = text("\n".join(sorted(kinds)))
        elif path.suffix in (".json", ".jsonl"):
            arrays[name] = text(path.read_text())
    return arrays


def _flat(named: dict[str, Any]) -> NDArray[np.float64]:
    """All numbers behind names, in the order of the names."""
    return np.concatenate([np.ravel(np.array(named[name], np.float64)) for name in sorted(named)])


def _column(values: list[Any]) -> NDArray:
    """A table's column: numbers as such, anything else as text."""
    array = np.array(values)
    return array if array.dtype.kind in "biuf" else text(json.dumps(values))
