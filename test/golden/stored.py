# SPDX-License-Identifier: Apache-2.0
"""The stored values of the golden test, the machine that they come from, and how others compare with them."""

import importlib.metadata
import json
import os
import platform
from pathlib import Path

import numpy as np
import torch
from arrays import Arrays
from computations import GROUPS

FOLDER = Path(__file__).resolve().parent
MACHINE = FOLDER / "machine.json"
DEPENDS = {
    "plans": ("numpy",),
    "chunks": ("numpy", "torch", "transformers"),
    "weights": ("numpy", "torch", "transformers", "accelerate"),
    "dataset": ("numpy", "av", "pyarrow", "lerobot"),
    "sim": ("numpy", "mujoco"),
}
"""Packages that decide the last bits of a group, beside the processor and the C library."""
TOLERANCE = {"plans": 1e-9, "chunks": 1e-5, "weights": 1e-4, "dataset": 1e-6, "sim": 1e-6}
"""Absolute plus relative, on a machine that computes other last bits. With the kernels of an older processor
the largest differences were 4e-14, 5e-7, 2e-6, 0 and 3e-12."""
GREY_LEVELS = 3.0  # that the mean of a decoded picture may be off there


def machine(group: str) -> dict[str, str]:
    """What decides the last bits of a group on this machine."""
    versions = {name: importlib.metadata.version(name) for name in DEPENDS[group]}
    # By itself OpenBLAS takes the kernels of the processor, but the environment can choose others.
    kernels = os.environ.get("OPENBLAS_CORETYPE") or "of the processor"
    system = {"processor": _processor(), "BLAS kernels": kernels, "C library": " ".join(platform.libc_ver())}
    return system | versions


def _processor() -> str:
    """Instruction sets that torch and numpy use, and the model, by which libraries choose their kernels."""
    features = np._core._multiarray_umath.__cpu_features__
    used = " ".join(sorted(name for name, there in features.items() if there))
    info = Path("/proc/cpuinfo")
    facts = dict.fromkeys(("vendor_id", "cpu family", "model"), "")
    for line in info.read_text().splitlines() if info.exists() else ():
        key, _, value = line.partition(":")
        if key.strip() in facts:
            facts[key.strip()] = value.strip()
    model = " ".join(facts.values())
    return f"{platform.machine()} {model}; torch {torch.backends.cpu.get_cpu_capability()}; numpy {used}"


def compute(group: str) -> Arrays:
    """The values of a group, by one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return GROUPS[group]()
    finally:
        torch.set_num_threads(threads)


def write(groups: tuple[str, ...]) -> None:
    """Computes and stores groups, and where they come from."""
    machines = json.loads(MACHINE.read_text()) if MACHINE.exists() else {}
    for group in groups:
        np.savez_compressed(FOLDER / f"{group}.npz", **compute(group))
        machines[group] = machine(group)
    MACHINE.write_text(json.dumps(machines, indent=2) + "\n")


def read(group: str) -> Arrays:
    """The stored values of a group."""
    with np.load(FOLDER / f"{group}.npz") as stored:
        return dict(stored)


def other_machine(group: str) -> str:
    """How this machine differs from the one that stored a group; empty where the bits must agree."""
    stored, here = json.loads(MACHINE.read_text())[group], machine(group)
    return "; ".join(
        f"{key}: {stored.get(key)!r} there, {here[key]!r} here"
        for key in here
        if here[key] != stored.get(key)
    )


def differences(group: str, got: Arrays, exact: bool) -> list[str]:
    """What differs from the stored values, one line for each array.

    exact: bit for bit. Otherwise real numbers may differ by the group's tolerance, and hashes are left out;
    whole numbers and texts must agree all the same.
    """
    expected = read(group)
    lines = [f"{name}: stored, not computed" for name in expected if name not in got]
    lines += [f"{name}: computed, not stored" for name in got if name not in expected]
    for name in (name for name in expected if name in got):
        problem = _difference(group, name, expected[name], got[name], exact)
        if problem:
            lines.append(f"{name}: {problem}")
    return lines


def _difference(group: str, name: str, expected: np.ndarray, got: np.ndarray, exact: bool) -> str:
    if expected.shape != got.shape or expected.dtype != got.dtype:
        return f"{got.dtype} {got.shape}, stored {expected.dtype} {expected.shape}"
    if name.endswith("digest"):
        if not exact or np.array_equal(expected, got):
            return ""
        rows = np.flatnonzero((expected != got).any(axis=1)) if expected.ndim > 1 else ()
        return (
            f"other content in {len(rows)} of {len(got)}, first {rows[0]}" if len(rows) else "other content"
        )
    if expected.tobytes() == got.tobytes():
        return ""
    if expected.dtype == np.uint8:
        return f"{got.tobytes().decode(errors='replace')!r}, stored {expected.tobytes().decode()!r}"
    tolerance = GREY_LEVELS if name.endswith("means") else TOLERANCE[group]
    near = expected.dtype.kind == "f" and np.allclose(got, expected, tolerance, tolerance, equal_nan=True)
    if near and not exact:
        return ""
    off = np.abs(got - expected)
    return f"{np.count_nonzero(off)} of {off.size} values differ, by up to {np.nanmax(off):.3g}"
