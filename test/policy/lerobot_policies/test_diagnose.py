# SPDX-License-Identifier: Apache-2.0
"""`dit_policy diagnose` judges a LeRobot policy on recordings as it judges ours."""

from pathlib import Path

import pytest
from mostly_slow import mostly_slow
from tiny_dataset import IMAGE, write_tiny_dataset
from tiny_lerobot import save_tiny

from dit_policy_ros.cli import diagnose


@pytest.mark.parametrize("kind", mostly_slow(["act", "diffusion"], 1))
def test_diagnose_runs_it_on_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    dataset = write_tiny_dataset(tmp_path / "dataset", episodes=4, length=12)
    checkpoint = save_tiny(tmp_path / "checkpoint", kind, ("cam0",), image=IMAGE)
    arguments = [
        "--checkpoint",
        str(checkpoint),
        "--dataset",
        str(dataset),
        "--output",
        str(tmp_path / "out"),
    ]
    code = diagnose.main([*arguments, "--device", "cpu", "--observations", "2"])
    printed = capsys.readouterr()
    assert code in (0, 1), printed.err  # a random policy fails some measures, which ones is chance
    assert f"LeRobot's {kind}" in printed.out and "variance" in printed.out
    assert list((tmp_path / "out").glob("*.json"))
