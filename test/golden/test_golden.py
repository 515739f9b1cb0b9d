# SPDX-License-Identifier: Apache-2.0
"""The package computes what it computed when the values were stored: plans, chunks, weights, files, motions.

On a machine of the same kind as the one that stored them every bit must agree, elsewhere nearly (stored.py).
Whether to store them anew: record.py.
"""

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")

from stored import FOLDER, GROUPS, TOLERANCE, compute, differences, other_machine, read


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_has_changed_since_the_values_were_stored(group: str) -> None:
    other = other_machine(group)
    regime = f"within {TOLERANCE[group]:g}, as this machine is another ({other})" if other else "bit for bit"
    changed = differences(group, compute(group), exact=not other)
    shown = "\n  ".join(changed[:20])
    assert not changed, f"{group}, compared {regime}: {len(changed)} arrays differ\n  {shown}"


@pytest.mark.parametrize("group", GROUPS)
def test_the_comparison_sees_the_last_bit_and_what_is_missing(group: str) -> None:
    stored = read(group)
    name = next(name for name, array in stored.items() if array.dtype.kind == "f" and array.any())
    values = stored[name]
    assert not differences(group, stored, exact=True)
    bent = stored | {name: np.nextafter(values, np.inf, dtype=values.dtype)}
    assert len(differences(group, bent, exact=True)) == 1
    assert not differences(group, bent, exact=False)
    far = stored | {name: values * 1.01 + np.array(10 * TOLERANCE[group], values.dtype)}
    assert len(differences(group, far, exact=False)) == 1
    del bent[name]
    assert differences(group, bent, exact=False) == [f"{name}: stored, not computed"]


def test_the_stored_values_stay_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 300_000
