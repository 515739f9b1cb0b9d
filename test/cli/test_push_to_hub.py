# SPDX-License-Identifier: Apache-2.0
"""`dit_policy push_to_hub` and `train --push-to-hub`, against a hub on this machine."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub, running_hub
from huggingface_hub import DatasetCard, ModelCard
from mostly_slow import mostly_slow
from tiny_dataset import save_for_dataset, write_tiny_dataset
from tiny_policy import TASKS

from dit_policy_ros.cli import push_to_hub, train
from dit_policy_ros.data.description import check_readable
from dit_policy_ros.data.lock import DatasetLock

QUICK = ["--steps", "2", "--batch-size", "4", "--warmup-steps", "1", "--device", "cpu", "--validation", "0.5"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with running_hub(monkeypatch) as hub:
        yield hub


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lerobot", reason="lerobot is not installed: datasets cannot be written")
    return write_tiny_dataset(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_for_dataset(tmp_path_factory.mktemp("checkpoint") / "policy")


def push(*arguments: str | Path) -> int:
    return push_to_hub.main([str(argument) for argument in arguments])


def run_train(*arguments: str | Path) -> int:
    return train.main([str(argument) for argument in arguments])


def test_a_checkpoint_arrives_whole_with_its_card(
    hub: FakeHub, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(checkpoint, "lab/pick") == 0
    assert f"{hub.url}/lab/pick" in capsys.readouterr().out
    there = hub.files["models/lab/pick"]
    for path in (path for path in checkpoint.rglob("*") if path.is_file()):
        assert there[path.relative_to(checkpoint).as_posix()] == path.read_bytes()
    card = ModelCard(there["README.md"].decode())
    assert card.data.library_name == "lerobot" and card.data.pipeline_tag == "robotics"
    assert all(task in card.text for task in TASKS)
    assert "checkpoint:=lab/pick" in card.text and 'load_policy("lab/pick")' in card.text
    assert hub.private["models/lab/pick"] and hub.commits["models/lab/pick"] == 1


def test_success_rates_come_on_the_card(hub: FakeHub, checkpoint: Path, tmp_path: Path) -> None:
    task = {
        "instruction": TASKS[0],
        "episodes": 50,
        "success_rate": 0.94,
        "ci95": [0.84, 0.98],
        "wrong_rate": 0.02,
    }
    weights = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    summary = {"weights_sha256": weights, "mode": "lock-step", "episodes": 50, "success_rate": 0.94}
    summary |= {"ci95": [0.84, 0.98], "tasks": [task]}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert push(checkpoint, "lab/pick", "--evaluation", tmp_path) == 0
    card = ModelCard(hub.files["models/lab/pick"]["README.md"].decode())
    assert f"| {TASKS[0]} | 50 | 94% | 84% to 98% | 2% |" in card.text
    (result,) = card.data.eval_results
    assert result.task_name == TASKS[0] and result.metric_value == 0.94


def test_the_scores_of_other_weights_are_refused(
    hub: FakeHub, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = {"weights_sha256": "f" * 64, "mode": "ros", "episodes": 1, "success_rate": 1.0}
    (tmp_path / "summary.json").write_text(json.dumps(summary | {"ci95": [0, 1], "tasks": []}))
    assert push(checkpoint, "lab/pick", "--evaluation", tmp_path) == 1
    assert "it evaluated other weights (ffffffffffff)" in capsys.readouterr().err
    assert hub.calls == []


def test_a_dataset_arrives_whole_with_its_card_and_version(hub: FakeHub, dataset: Path) -> None:
    assert push(dataset, "lab/demos", "--public") == 0
    there = hub.files["datasets/lab/demos"]
    for path in (path for path in dataset.rglob("*") if path.is_file()):
        assert there[path.relative_to(dataset).as_posix()] == path.read_bytes()
    card = DatasetCard(there["README.md"].decode())
    assert card.data.task_categories == ["robotics"] and "LeRobot" in card.data.tags
    assert card.data.configs == [{"config_name": "default", "data_files": "data/*/*.parquet"}]
    assert f"| {TASKS[0]} | 2 | 0 | 0 | 24 |" in card.text
    assert "4 episodes, 48 frames" in card.text and "| camera cam0 |" in card.text
    assert hub.tags["datasets/lab/demos"] == {"v3.0"} and not hub.private["datasets/lab/demos"]
    assert not (dataset / "journal").exists()


def test_an_edited_dataset_leaves_no_file_of_before(hub: FakeHub, dataset: Path) -> None:
    assert push(dataset, "lab/demos") == 0
    there = hub.files["datasets/lab/demos"]
    there["data/chunk-000/file-007.parquet"] = there["pictures/arm.png"] = b"of before"
    assert push(dataset, "lab/demos") == 0
    assert "data/chunk-000/file-007.parquet" not in there
    assert "pictures/arm.png" in there, "what is not the dataset's stays"


def test_a_dataset_that_is_being_recorded_is_refused(
    hub: FakeHub, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "journal").mkdir()
    lock = DatasetLock(dataset / "journal" / "lock", dataset)
    try:
        assert push(dataset, "lab/demos") == 1
    finally:
        lock.release()
        (dataset / "journal").rmdir()
    assert "is being written by" in capsys.readouterr().err
    assert "datasets/lab/demos" not in hub.files
    check_readable(dataset)


def test_the_card_is_shown_without_a_login(
    checkpoint: Path, dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for folder in (checkpoint, dataset):
        assert push(folder, "lab/some", "--show-card") == 0
        printed = capsys.readouterr().out
        assert printed.startswith("---\n") and "# some" in printed and TASKS[0] in printed


def no_token(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nowhere/token")


def a_wrong_token(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_last_year")


def offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def no_connection(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nothing listens there


REFUSALS = [
    (no_token, "lab/pick", "nobody is logged in to the hub. Run `hf auth login`, or set HF_TOKEN"),
    (a_wrong_token, "lab/pick", "The token is not valid any more: run `hf auth login`"),
    (offline, "lab/pick", "HF_HUB_OFFLINE is set"),
    (no_connection, "lab/pick", "Is there a connection to http://127.0.0.1:9?"),
    (None, "pick", "expected USER/NAME or ORGANISATION/NAME"),
    (None, "others/pick", "log in as others with a token that may write"),
]


@pytest.mark.parametrize(("mistake", "name", "expected"), mostly_slow(REFUSALS, 3))
def test_a_refusal_is_one_sentence_with_its_remedy(
    hub: FakeHub,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mistake,
    name: str,
    expected: str,
) -> None:
    if mistake:
        mistake(hub, monkeypatch)
    assert push(checkpoint, name) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert hub.files == {}


@pytest.mark.parametrize(("mistake", "name", "expected"), mostly_slow(REFUSALS, 2))
def test_a_run_that_could_not_be_pushed_does_not_begin(
    hub: FakeHub,
    dataset: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mistake,
    name: str,
    expected: str,
) -> None:
    if mistake:
        mistake(hub, monkeypatch)
    options = ["--init", checkpoint, "--statistics", "dataset", "--dataset", dataset, "--push-to-hub", name]
    assert run_train("--output", tmp_path / "run", *QUICK, *options) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert expected in printed and "nothing has been trained" in printed
    assert not (tmp_path / "run").exists(), "the folder is free for the next attempt"


def test_a_finished_run_is_pushed_with_its_scores(
    hub: FakeHub, dataset: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--init",
        checkpoint,
        "--statistics",
        "dataset",
        "--dataset",
        dataset,
        "--push-to-hub",
        "lab/pick",
    ]
    output = tmp_path / "run"
    assert run_train("--output", output, *QUICK, *options) == 0
    assert f"the checkpoint is at {hub.url}/lab/pick" in capsys.readouterr().out
    there = hub.files["models/lab/pick"]
    saved = output / "checkpoints" / "last" / "pretrained_model" / "model.safetensors"
    assert there["model.safetensors"] == saved.read_bytes()
    card = ModelCard(there["README.md"].decode()).text
    assert "| instruction | frames | loss | action error [rad or m] |" in card and f"| {TASKS[0]} |" in card
    assert "| dataset | set |" in card and str(tmp_path) not in card


def test_a_push_that_fails_at_the_end_says_where_the_checkpoint_is(
    hub: FakeHub, dataset: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.broken.add("/commit/")
    options = [
        "--init",
        checkpoint,
        "--statistics",
        "dataset",
        "--dataset",
        dataset,
        "--push-to-hub",
        "lab/pick",
    ]
    assert run_train("--output", tmp_path / "run", *QUICK, *options) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "trained to step 2 of 2; checkpoint:" in printed
    assert "Try again later" in printed and "put it there later with: dit_policy push_to_hub" in printed
