# SPDX-License-Identifier: Apache-2.0
"""A dataset whose videos stay on the hub trains the same policy as one whose videos are here."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
import lerobot.utils.constants
from fake_hub import USER, FakeHub, running_hub
from tiny_dataset import save_for_dataset, write_tiny_dataset

from dit_policy_ros.cli import train
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.data.description import find_dataset

pytestmark = pytest.mark.slow  # others cover the way; these are whole systems again

NAME = f"{USER}/stacking"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "set", episodes=3, length=20)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path):
    """A hub that has the dataset."""
    monkeypatch.setattr(lerobot.utils.constants, "HF_LEROBOT_HOME", tmp_path / "home")
    monkeypatch.setattr(lerobot.utils.constants, "HF_LEROBOT_HUB_CACHE", tmp_path / "home" / "hub")
    with running_hub(monkeypatch) as hub:
        key = f"datasets/{NAME}"
        hub.files[key] = {
            str(file.relative_to(dataset)): file.read_bytes() for file in dataset.rglob("*") if file.is_file()
        }
        hub.private[key], hub.tags[key], hub.commits[key] = False, {"v3.0"}, 0
        yield hub


def trained(dataset: str, start: Path, output: Path) -> bytes:
    """The weights after three steps."""
    options = [
        "--steps",
        "3",
        "--batch-size",
        "4",
        "--stream",
        "--workers",
        "1",
        "--device",
        "cpu",
        "--statistics",
        "dataset",
    ]
    arguments = ["--dataset", dataset, "--init", str(start), "--output", str(output), *options]
    assert train.main(arguments) == 0
    return (output / "checkpoints/last/pretrained_model/model.safetensors").read_bytes()


def test_the_same_weights_and_no_video_is_downloaded(hub: FakeHub, dataset: Path, tmp_path: Path) -> None:
    start = save_for_dataset(tmp_path / "start", n_obs_steps=2)
    from_hub = trained(NAME, start, tmp_path / "hub_run")
    assert hub.sent > 0, "parts of videos were read"
    assert list((tmp_path / "home").rglob("*.parquet")) and not list((tmp_path / "home").rglob("*.mp4"))
    assert from_hub == trained(str(dataset), start, tmp_path / "run")


def test_without_streaming_the_videos_come_as_well(hub: FakeHub, dataset: Path) -> None:
    folder = find_dataset(NAME, videos=False)
    with pytest.raises(DatasetError, match=r"mp4 of episode 0 is missing"):
        read_demonstrations(folder)
    assert find_dataset(NAME) == folder
    np.testing.assert_array_equal(
        read_demonstrations(folder).images["cam0"], read_demonstrations(dataset).images["cam0"]
    )


def test_a_connection_that_is_lost_is_named(hub: FakeHub) -> None:
    data = read_demonstrations(find_dataset(NAME, videos=False), stream=True)
    del hub.files[f"datasets/{NAME}"]
    with pytest.raises(DatasetError, match=rf"{NAME}: videos/.* cannot be read from the hub.*--resume"):
        data.images["cam0"][np.array([0])]
