# SPDX-License-Identifier: Apache-2.0
"""Relocating changes three names and nothing else, or refuses with the reason."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_policy import save_tiny

from dit_policy_ros.cli.relocate import main
from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint import read_checkpoint, relocate

CONFIG, PIPELINE = "config.json", "policy_preprocessor.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "checkpoint")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_only_the_names_change(folder: Path) -> None:
    before, config, pipeline = contents(folder), load(folder / CONFIG), load(folder / PIPELINE)
    assert relocate(folder) == folder
    clip, after = str(folder / "clip"), contents(folder)
    assert {name for name in after if before.get(name) != after[name]} == {CONFIG, PIPELINE}
    assert before.keys() == after.keys()
    config |= {"vision_encoder_name": clip, "text_encoder_name": clip}
    assert load(folder / CONFIG) == config
    pipeline["steps"][2]["config"]["tokenizer_name"] = clip
    assert load(folder / PIPELINE) == pipeline
    read_checkpoint(folder)


def test_a_copy_can_be_relocated_again(folder: Path, tmp_path: Path) -> None:
    relocate(folder)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    relocate(copy)
    assert load(copy / CONFIG)["vision_encoder_name"] == str(copy / "clip")
    assert load(folder / CONFIG)["vision_encoder_name"] == str(folder / "clip")


def test_a_separate_text_encoder_is_named(folder: Path) -> None:
    shutil.copytree(folder / "clip", folder / "clip_text")
    relocate(folder)
    assert load(folder / CONFIG)["text_encoder_name"] == str(folder / "clip_text")
    assert load(folder / CONFIG)["vision_encoder_name"] == str(folder / "clip")
    assert load(folder / PIPELINE)["steps"][2]["config"]["tokenizer_name"] == str(folder / "clip_text")


def test_a_symbolic_link_is_replaced_and_its_target_kept(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "shared.json"
    shutil.move(folder / CONFIG, target)
    (folder / CONFIG).symlink_to(target)
    before = target.read_bytes()
    relocate(folder)
    assert target.read_bytes() == before
    assert load(folder / CONFIG)["vision_encoder_name"] == str(folder / "clip")


def test_a_checkpoint_without_encoders_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "clip")
    before = contents(folder)
    with pytest.raises(
        CheckpointError, match=r"does not contain its encoders: .*clip/config.json is missing"
    ):
        relocate(folder)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        (CONFIG, '{"type": "act"}', r"type: expected 'multi_task_dit' \(LeRobot's\) or .*, got 'act'"),
        (CONFIG, '{"type": "multi_ta', "is not readable JSON"),
        (PIPELINE, '{"name": "x"}', "expected a list 'steps', got None"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_unchanged(
    folder: Path, file: str, text: str, expected: str
) -> None:
    (folder / file).write_text(text)
    before = contents(folder)
    with pytest.raises(CheckpointError, match=expected):
        relocate(folder)
    assert contents(folder) == before


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    assert str(folder / "clip") in capsys.readouterr().out
    assert main([str(tmp_path / "nowhere" / "at" / "all")]) == 1
    assert "looked for a folder" in capsys.readouterr().err
