# SPDX-License-Identifier: Apache-2.0
"""A write that fails changes nothing and leaves nothing behind; a durable one syncs contents, then names."""

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from dit_policy_ros.core import atomic_files
from dit_policy_ros.core.atomic_files import (
    empty_trash,
    exchange_folders,
    make_folders,
    remove_durably,
    sync_tree,
    write_atomically,
    write_folder_atomically,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail(path: Path) -> None:
    """Writes half of a file or a folder."""
    if path.is_dir():
        path = path / "half"
    path.write_text("half")
    raise RuntimeError("pulled out")


@pytest.fixture
def syncs(monkeypatch) -> list[str]:
    """The names of files and folders as they are synced, and of files as they get their names."""
    events: list[str] = []
    replace = os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: events.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
    )
    monkeypatch.setattr(
        os, "replace", lambda old, new: (events.append(f"-> {Path(new).name}"), replace(old, new))
    )
    return events


@pytest.mark.parametrize(
    "content", ["new ä", "new ä".encode(), lambda path: path.write_text("new ä", encoding="utf-8")]
)
@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_created_and_replaced(tmp_path, content, durable: bool) -> None:
    for _ in range(2):
        write_atomically(tmp_path / "file", content, durable)
        assert (tmp_path / "file").read_text(encoding="utf-8") == "new ä"
        assert names(tmp_path) == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    write_atomically(tmp_path / "file", "old")
    with pytest.raises(RuntimeError, match="pulled out"):
        write_atomically(tmp_path / "file", fail)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_link_is_replaced_and_its_target_stays(tmp_path) -> None:
    (tmp_path / "target").write_text("target")
    (tmp_path / "link").symlink_to("target")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "target").read_text() == "target"
    assert not (tmp_path / "link").is_symlink()
    write_atomically(tmp_path / "link", lambda path: path.symlink_to("target"))
    assert (tmp_path / "link").resolve() == tmp_path / "target"


def test_a_durable_write_syncs_the_content_before_the_name(tmp_path, syncs: list[str]) -> None:
    write_atomically(tmp_path / "file", "content", durable=True)
    assert syncs == [f".file.unfinished-{os.getpid()}", "-> file", tmp_path.name]
    syncs.clear()
    write_atomically(tmp_path / "file", "content")
    assert syncs == ["-> file"]


def test_a_folder_appears_only_when_it_is_complete(tmp_path) -> None:
    folder = tmp_path / "new" / "folder"

    def write(partial: Path) -> None:
        assert not folder.exists()
        (partial / "file").write_text("content")

    write_folder_atomically(folder, write, durable=True)
    assert names(folder.parent) == ["folder"] and names(folder) == ["file"]
    with pytest.raises(OSError, match="not empty"):
        write_folder_atomically(folder, lambda partial: None)
    with pytest.raises(RuntimeError, match="pulled out"):
        write_folder_atomically(folder, fail, replace=True)
    assert names(folder.parent) == ["folder"] and names(folder) == ["file"]
    write_folder_atomically(folder, lambda partial: (partial / "other").touch(), replace=True)
    assert names(folder.parent) == ["folder"] and names(folder) == ["other"]


def no_exchange(one: Path, other: Path) -> None:
    raise OSError(errno.EINVAL, "as on a network drive")


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_replacement_that_fails_keeps_the_old_folder(tmp_path, monkeypatch, can_exchange: bool) -> None:
    folder, rename = tmp_path / "folder", Path.rename
    write_folder_atomically(folder, lambda partial: (partial / "old").touch())

    def fail_for_the_new_one(path: Path, *_) -> Path:
        if "unfinished" in path.name:
            raise OSError(errno.EIO, "pulled out")
        return rename(path, *_)

    if can_exchange:
        monkeypatch.setattr(atomic_files, "_exchange", fail_for_the_new_one)
    else:
        monkeypatch.setattr(atomic_files, "_exchange", no_exchange)
        monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="pulled out"):
        write_folder_atomically(folder, lambda partial: (partial / "new").touch(), replace=True)
    assert names(tmp_path) == ["folder"] and names(folder) == ["old"]


def test_a_replaced_folder_is_there_at_each_instant(tmp_path, monkeypatch) -> None:
    """A thread looks all the time while a folder is replaced many times."""
    folder, ended, missing = tmp_path / "folder", threading.Event(), []
    write_folder_atomically(folder, lambda partial: (partial / "file").write_text("0"))

    def look() -> None:
        while not ended.is_set():
            if not os.path.isdir(folder):
                missing.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(200):
        text = str(number)
        write_folder_atomically(
            folder, lambda partial, t=text: (partial / "file").write_text(t), replace=True
        )
    ended.set()
    watcher.join()
    assert not missing
    assert names(tmp_path) == ["folder"] and (folder / "file").read_text() == "199"


def test_a_folder_is_replaced_where_names_cannot_be_exchanged(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(atomic_files, "_exchange", no_exchange)
    folder = tmp_path / "folder"
    for name in ("old", "new"):
        write_folder_atomically(folder, lambda partial, n=name: (partial / n).touch(), replace=True)
    assert names(tmp_path) == ["folder"] and names(folder) == ["new"]
    assert not exchange_folders(folder, tmp_path)


def test_a_replaced_folder_is_on_the_disk_before_the_old_one_is_removed(tmp_path, syncs, monkeypatch) -> None:
    folder, rmtree = tmp_path / "folder", shutil.rmtree
    write_folder_atomically(folder, lambda partial: (partial / "old").touch(), durable=True)
    syncs.clear()
    monkeypatch.setattr(
        atomic_files.shutil, "rmtree", lambda path, **more: (syncs.append("removed"), rmtree(path, **more))
    )
    write_folder_atomically(folder, lambda partial: (partial / "new").touch(), replace=True, durable=True)
    assert syncs[-2:] == [tmp_path.name, "removed"] and "new" in syncs


def test_a_tree_is_synced_files_first(tmp_path, syncs: list[str]) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for file in ("one", "a/two", "a/b/three"):
        (tmp_path / file).touch()
    sync_tree(tmp_path)
    assert set(syncs[:3]) == {"one", "two", "three"}
    assert set(syncs[3:]) == {tmp_path.name, "a", "b"}


def test_each_new_folder_is_synced_in_its_parent(tmp_path, syncs: list[str]) -> None:
    make_folders(tmp_path / "a" / "b")
    make_folders(tmp_path / "a" / "b")
    assert syncs == [tmp_path.name, "a"]
    assert (tmp_path / "a" / "b").is_dir()


def test_a_removal_that_was_interrupted_is_completed(tmp_path, monkeypatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(atomic_files.shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            remove_durably(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    empty_trash(tmp_path)
    assert names(tmp_path) == []
