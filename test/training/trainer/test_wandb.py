# SPDX-License-Identifier: Apache-2.0
"""`train --wandb`: what is sent where, and the refusals before anything is read or trained."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import Accelerator
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import random_policy, tiny_config, tiny_tokenizer

from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import InitialPolicy
from dit_policy_ros.training.trainer import Run, RunFolder, TrainObserver, make_trainer, train_policy
from dit_policy_ros.training.trainer._wandb import ID_FILE


class FakeWandb:
    """Stands in for the package: keeps what a run sends."""

    class Error(Exception):
        pass

    def __init__(self, mode: str = "online", logged_in: bool = True) -> None:
        self.logged_in = logged_in
        self.settings = SimpleNamespace(mode=mode)
        self.begun: list[dict[str, Any]] = []
        self.rows: list[Mapping[str, float]] = []
        self.finished = 0
        self.fails_after: int | None = None

    def setup(self) -> SimpleNamespace:
        return SimpleNamespace(settings=self.settings)

    def login(self, prompt: bool, verify: bool) -> bool:
        assert not prompt, "a run on a server has nobody to ask"
        return self.logged_in

    def init(self, **settings: Any) -> "FakeWandb":
        self.begun.append(settings)
        return self

    def define_metric(self, name: str, step_metric: str = "") -> None:
        pass

    def log(self, row: Mapping[str, float]) -> None:
        if self.fails_after is not None and len(self.rows) >= self.fails_after:
            raise self.Error("the service has ended")
        self.rows.append(row)

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)  # pyright: ignore[reportArgumentType]
    return fake


def begin(folder: Path, resumed: Path | None = None, **options: Any) -> Run:
    often = {"checkpoint_every": 2, "validate_every": 3, "log_every": 1}
    config = TrainConfig(
        **{"steps": 6, "batch_size": 5, "validation": 0.5, "device": "cpu"} | often | options
    )
    initial = InitialPolicy(random_policy(tiny_config(num_inference_steps=2)), tiny_tokenizer())
    trainer = make_trainer(config, tiny_demonstrations(8, 10), initial, Accelerator(cpu=True))
    return Run(config, RunFolder(folder), trainer, initial, resumed)


def go(run: Run, until: int | None = None) -> None:
    run.train(lambda step, note: run.trainer.stop() if step == until else None)


def train(tmp_path: Path, **options: Any) -> None:
    """A run whose dataset does not exist: a check that comes before the data is the one that is raised."""
    config = TrainConfig(dataset=("nowhere",), device="cpu", wandb=True, **options)
    train_policy(config, RunFolder(tmp_path / "run"), Accelerator(cpu=True), TrainObserver())


def test_the_figures_are_those_of_the_log(tmp_path: Path, wandb: FakeWandb) -> None:
    go(begin(tmp_path / "run", wandb=True))
    losses = [row for row in wandb.rows if "train/loss" in row]
    assert [row["step"] for row in losses] == [1, 2, 3, 4, 5, 6]
    assert any("validation/action_error" in row for row in wandb.rows)
    assert wandb.finished == 1
    (settings,) = wandb.begun
    assert settings["config"]["batch_size"] == 5 and settings["dir"] == str(tmp_path / "run")
    assert list((tmp_path / "run" / "tensorboard").glob("events*")), "TensorBoard is written beside it"


def test_a_resumed_run_goes_on_under_its_identity(tmp_path: Path, wandb: FakeWandb) -> None:
    folder = tmp_path / "run"
    go(begin(folder, wandb=True), until=3)
    go(begin(folder, wandb=True, resumed=RunFolder(folder).last))
    first, second = (settings["id"] for settings in wandb.begun)
    assert first == second == (folder / ID_FILE).read_text().strip()


def test_a_failure_while_training_is_reported_once_and_costs_no_run(
    tmp_path: Path, wandb: FakeWandb, caplog: pytest.LogCaptureFixture
) -> None:
    wandb.fails_after = 2
    go(begin(tmp_path / "run", wandb=True))
    assert (tmp_path / "run" / "checkpoints" / "000006").is_dir()
    (warning,) = [record for record in caplog.records if "nothing more is sent" in record.message]
    assert "the service has ended" in warning.message


@pytest.mark.slow
def test_a_run_that_could_not_be_registered_leaves_its_folder_free(
    tmp_path: Path, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise wandb.Error("quota exceeded")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(TrainingError, match="could not be registered: quota exceeded"):
        begin(tmp_path / "run", wandb=True)
    go(begin(tmp_path / "run"))


def test_a_run_without_the_option_does_not_touch_it(tmp_path: Path, wandb: FakeWandb) -> None:
    go(begin(tmp_path / "run"))
    assert wandb.begun == []


def test_without_the_package_the_run_is_refused_first(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import then fails
    with pytest.raises(TrainingError, match=r"--wandb: the package wandb .* Run `pip install \.\[wandb\]`"):
        train(tmp_path)


def test_without_a_login_the_run_is_refused_first(tmp_path: Path, wandb: FakeWandb) -> None:
    wandb.logged_in = False
    with pytest.raises(TrainingError, match=r"nobody is logged in\. Run `wandb login`, or set WANDB_M"):
        train(tmp_path)
    assert not (tmp_path / "run").exists()


def test_offline_needs_no_login(tmp_path: Path, wandb: FakeWandb) -> None:
    wandb.logged_in, wandb.settings.mode = False, "offline"
    with pytest.raises(Exception, match="nowhere"):
        train(tmp_path)


def test_the_real_package_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_for) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed (pip install .[wandb])")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    go(begin(tmp_path / "run", wandb=True))
    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    wait_for(lambda: file.stat().st_size > 1000, 30, "wandb's own process writes its file")
