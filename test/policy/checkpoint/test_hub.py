# SPDX-License-Identifier: Apache-2.0
"""Checkpoints by hub id: found in the cache; otherwise the error says what to do."""

import shutil
from pathlib import Path

import pytest
from tiny_policy import TASKS, save_tiny

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import find_checkpoint, pinned, relocate
from dit_policy_ros.policy.checkpoint._hub import is_hub_id

ID, COMMIT = "lab/touch-cubes", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and the hub switched off as by HF_HUB_OFFLINE=1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(cache: Path) -> Path:
    """Put a checkpoint into the cache as huggingface_hub does: blobs, links to them, a branch's commit."""
    repository = cache / f"models--{ID.replace('/', '--')}"
    snapshot = save_tiny(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "blobs").mkdir()
    for i, file in enumerate(path for path in snapshot.rglob("*") if path.is_file()):
        blob = repository / "blobs" / f"{i:040x}"
        shutil.move(file, blob)
        file.symlink_to(blob)
    return snapshot


def test_a_cached_checkpoint_loads_by_its_id_while_offline(cache: Path) -> None:
    snapshot = fill(cache)
    assert find_checkpoint(ID) == snapshot
    assert find_checkpoint(Path(ID)) == snapshot  # command-line options are parsed as paths
    assert load_policy(ID).known_tasks == TASKS
    assert load_policy(f"{ID}@{COMMIT}").known_tasks == TASKS


def test_an_id_without_a_revision_stays_what_was_loaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is not even asked: a robot moves tomorrow as it does today."""
    snapshot = fill(cache)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    asked: list[bool] = []

    def newer(*arguments: object, local_files_only: bool, revision: str | None, **options: object) -> str:
        asked.append(local_files_only)
        if local_files_only:
            return str(snapshot)
        raise OSError("the hub has a newer commit")

    monkeypatch.setattr("dit_policy_ros.policy.checkpoint._hub.snapshot_download", newer)
    assert find_checkpoint(ID) == snapshot and asked == [True]
    with pytest.raises(CheckpointError, match="the hub has a newer commit"):
        find_checkpoint(f"{ID}@main")
    (snapshot / "model.safetensors").unlink()  # a download that was interrupted
    asked.clear()
    with pytest.raises(CheckpointError, match=r"lacks model\.safetensors"):
        find_checkpoint(ID)
    assert asked == [True, False]


def test_a_pinned_id_has_the_commit(cache: Path, tmp_path: Path) -> None:
    fill(cache)
    assert pinned(ID) == pinned(f"{ID}@{COMMIT}") == f"{ID}@{COMMIT}"
    assert find_checkpoint(pinned(ID)).name == COMMIT
    folder = str(save_tiny(tmp_path / "folder"))
    for name in (folder, "", "no id", "../x"):
        assert pinned(name) == name


def test_a_folder_of_the_same_name_takes_precedence(cache: Path, tmp_path: Path) -> None:
    fill(cache)
    assert find_checkpoint(save_tiny(tmp_path / ID).relative_to(tmp_path)) == tmp_path / ID


def test_an_uncached_id_is_refused_while_offline(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as raised:
        load_policy(ID)
    message = str(raised.value)
    for part in (
        f"'{ID}'",
        f"no folder {tmp_path / ID}",
        "https://huggingface.co",
        "HF_HUB_OFFLINE is set, so the hub was not asked",
        str(cache),
        "Give the path of a folder instead",
        f"hf download {ID} --local-dir FOLDER",
    ):
        assert part in message


def test_an_unreachable_hub_is_reported(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    # Nothing listens on port 9 of this machine, so the connection is refused at once.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with pytest.raises(
        CheckpointError, match=f"{ID}.*could not be downloaded from the hub .*http://127.0.0.1:9.*{cache}"
    ) as raised:
        load_policy(ID)
    assert "HF_HUB_OFFLINE" not in str(raised.value)


def test_an_uncached_revision_is_refused(cache: Path) -> None:
    fill(cache)
    with pytest.raises(CheckpointError, match=f"{ID}@v2"):
        find_checkpoint(f"{ID}@v2")


def test_an_incomplete_cached_copy_is_refused(cache: Path) -> None:
    snapshot = fill(cache)
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=f"'{ID}': {snapshot} lacks model.safetensors"):
        find_checkpoint(ID)


def test_a_hub_id_is_not_relocated(cache: Path) -> None:
    fill(cache)
    with pytest.raises(CheckpointError, match="it does not exist"):
        relocate(ID)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lab/touch", True),
        ("lab/touch@v1.0", True),
        ("lab/touch@refs/pr/1", True),
        ("touch", False),
        ("/lab/touch", False),
        ("./lab/touch", False),
        ("../touch", False),
        ("~/touch", False),
        ("out/train/last", False),
        ("lab/touch@", False),
        ("lab/to uch", False),
    ],
)
def test_hub_ids_are_recognised(name: str, expected: bool) -> None:
    assert is_hub_id(name) is expected
