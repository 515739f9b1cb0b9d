# SPDX-License-Identifier: Apache-2.0
"""Depth images are recorded without loss, as LeRobot's own writer does it, and LeRobot reads them back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
import pyarrow.parquet as pq
from episodes import SPEC, frame, lerobot_frame, load, make

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.data.description import describe_dataset
from dit_policy_ros.data.recording import Recover, recover_offline, remove_episodes
from dit_policy_ros.data.video import VideoSettings

MILLIMETRES = Camera("depth", "/depth", 45, 61, 0.2, depth_unit="mm")  # odd sizes: no video is made
METRES = Camera("far", "/far", 32, 40, 0.2, depth_unit="m")
SPEC_WITH = replace(SPEC, cameras=(*SPEC.cameras, MILLIMETRES, METRES))
LENGTHS = (40, 5)  # more than is in memory at once, and fewer


def depths(episode: int, index: int) -> dict[str, np.ndarray]:
    """Different values in each pixel, up to the ends of the range."""
    random = np.random.default_rng([episode, index])
    near = random.integers(0, 65536, (45, 61, 1), dtype=np.uint16)
    near[0, 0], near[0, 1] = 65535, 0
    return {"depth": near, "far": random.uniform(0.3, 9.0, (32, 40, 1)).astype(np.float32)}


def add(writer, episode: int, frames: int, change=lambda images: images) -> None:
    for index in range(frames):
        one = frame(episode, index)
        one["images"] = change({**one["images"], **depths(episode, index)})
        writer.add_frame(**one, task="touch")


def record(root: Path, lengths: tuple[int, ...] = LENGTHS) -> Path:
    writer = make(root, SPEC_WITH)
    for episode, length in enumerate(lengths):
        add(writer, episode, length)
        writer.save_episode()
    writer.finalize()
    return root


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Path:
    return record(tmp_path_factory.mktemp("ours") / "dataset")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Path:
    """The same frames, written by LeRobot."""
    from lerobot.datasets import LeRobotDataset

    from dit_policy_ros.data.lerobot_calls import quiet_lerobot

    root = tmp_path_factory.mktemp("theirs") / "dataset"
    features = SPEC_WITH.features()
    for camera in (MILLIMETRES, METRES):
        features[f"observation.images.{camera.name}"]["info"] = {"is_depth_map": True}  # it adds the unit
    with quiet_lerobot():
        dataset = LeRobotDataset.create(
            "local/test", fps=30, root=root, features=features, robot_type="toy", streaming_encoding=True,
            rgb_encoder=VideoSettings().lerobot_config(),
        )  # fmt: skip
        for episode, length in enumerate(LENGTHS):
            for index in range(length):
                images = {f"observation.images.{n}": each for n, each in depths(episode, index).items()}
                dataset.add_frame({**lerobot_frame(episode, index, "touch"), **images})
            dataset.save_episode()
        dataset.finalize()
    return root


def table(root: Path):
    return pq.ParquetDataset(sorted((root / "data").glob("*/*.parquet"))).read()


def test_the_table_is_the_one_that_lerobot_writes(ours: Path, theirs: Path) -> None:
    mine, other = table(ours), table(theirs)
    assert mine.schema.equals(other.schema)
    assert mine.to_pylist() == other.to_pylist()  # the bytes of the TIFF files and their names
    described = [json.loads((root / "meta" / "info.json").read_text()) for root in (ours, theirs)]
    assert described[0] == described[1]


def test_lerobot_reads_back_every_pixel(ours: Path) -> None:
    from lerobot.datasets import LeRobotDataset

    for unit in ("mm", "m"):
        dataset = LeRobotDataset("local/test", root=ours, video_backend="pyav", depth_output_unit=unit)
        assert dataset.meta.depth_keys == ["observation.images.depth", "observation.images.far"]
        for row, (episode, index) in enumerate([(0, 0), (0, 1)]):
            expected, item = depths(episode, index), dataset[row]
            for name, own in (("depth", "mm"), ("far", "m")):
                read = item[f"observation.images.{name}"].numpy().transpose(1, 2, 0)  # (h, w, 1)
                if own == unit:
                    np.testing.assert_array_equal(read, expected[name])
                else:
                    np.testing.assert_allclose(
                        read, expected[name] * (1000 if unit == "mm" else 0.001), rtol=1e-6
                    )


def test_the_statistics_are_lerobots(ours: Path, theirs: Path) -> None:
    mine, other = (json.loads((root / "meta" / "stats.json").read_text()) for root in (ours, theirs))
    for name, spread in (("depth", 65535.0), ("far", 9.0)):
        key = f"observation.images.{name}"
        assert mine[key].keys() == other[key].keys()
        assert mine[key]["count"] == [sum(LENGTHS)] == other[key]["count"]
        for each in mine[key].keys() - {"count"}:
            np.testing.assert_allclose(mine[key][each], other[key][each], atol=0.005 * spread, err_msg=each)


def test_both_extend_each_others_datasets(theirs: Path, tmp_path: Path) -> None:
    import shutil

    from lerobot.datasets import LeRobotDataset

    root = Path(shutil.copytree(theirs, tmp_path / "dataset"))
    writer = make(root, SPEC_WITH)
    add(writer, 2, 3)
    assert writer.save_episode() == 2
    writer.finalize()
    dataset = LeRobotDataset.resume("local/test", root=root, streaming_encoding=True)
    for index in range(2):
        images = {f"observation.images.{name}": each for name, each in depths(3, index).items()}
        dataset.add_frame({**lerobot_frame(3, index, "touch"), **images})
    dataset.save_episode()
    dataset.finalize()
    read = load(root)
    assert read.num_episodes == 4
    for row, (episode, index) in {sum(LENGTHS): (2, 0), sum(LENGTHS) + 4: (3, 1)}.items():
        image = read[row]["observation.images.depth"].numpy()[0]  # (h, w)
        np.testing.assert_array_equal(image, depths(episode, index)["depth"][..., 0])


def test_removing_an_episode_keeps_the_others_whole(tmp_path: Path) -> None:
    root = record(tmp_path / "dataset", (3, 4))
    remove_episodes(root, [0])
    read = load(root)
    assert read.num_episodes == 1
    image = read[1]["observation.images.depth"].numpy()[0]  # (h, w)
    np.testing.assert_array_equal(image, depths(1, 1)["depth"][..., 0])


def test_a_crash_loses_nothing_but_a_cut_image(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    writer = make(root, SPEC_WITH)
    add(writer, 0, 6)
    writer.finalize()  # without saving it
    (file,) = root.glob("journal/*/depth.depth")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) - 100] + bytes(4096))  # as after a loss of power
    assert recover_offline(root, keep=True) == 1
    read = load(root)
    assert read.num_frames == 5
    image = read[4]["observation.images.depth"].numpy()[0]  # (h, w)
    np.testing.assert_array_equal(image, depths(0, 4)["depth"][..., 0])
    assert make(root, SPEC_WITH, recover=Recover.KEEP).next_index == 1


def test_images_without_any_distance_and_stuck_ones_are_counted(tmp_path: Path) -> None:
    writer = make(tmp_path / "dataset", SPEC_WITH)
    add(writer, 0, 4, lambda images: {**images, "depth": np.zeros((45, 61, 1), np.uint16)})
    bad = np.full((32, 40, 1), np.nan, np.float32)
    add(writer, 0, 2, lambda images: {**images, "far": bad.copy()})
    ended = writer.end_episode()
    assert (ended.cameras["depth"].clipped, ended.cameras["depth"].frozen) == (4, 3)
    assert (ended.cameras["far"].clipped, ended.cameras["far"].frozen) == (2, 1)
    writer.save_episode()
    writer.finalize()
    stats = load(tmp_path / "dataset").meta.stats["observation.images.far"]
    assert all(np.isfinite(values).all() for values in stats.values())


def test_keep_jpeg_leaves_a_depth_camera_alone(tmp_path: Path) -> None:
    spec = replace(SPEC, cameras=(replace(MILLIMETRES, compressed=True),))
    writer = make(tmp_path / "dataset", spec, video=VideoSettings(keep_jpeg=True))
    assert not writer.jpeg_cameras
    for index in range(2):
        writer.add_frame(**(frame(0, index) | {"images": {"depth": depths(0, index)["depth"]}}), task="touch")
    writer.save_episode()
    writer.finalize()
    image = load(tmp_path / "dataset")[1]["observation.images.depth"].numpy()[0]
    np.testing.assert_array_equal(image, depths(0, 1)["depth"][..., 0])


def test_another_unit_or_a_colour_camera_does_not_fit(ours: Path) -> None:
    other = replace(SPEC_WITH, cameras=(*SPEC.cameras, replace(MILLIMETRES, depth_unit="m"), METRES))
    with pytest.raises(DatasetError, match=r"depth_unit: expected 'm' .* as in the contract, got 'mm'"):
        make(ours, other)
    colour = replace(SPEC_WITH, cameras=(*SPEC.cameras, replace(MILLIMETRES, depth_unit=""), METRES))
    with pytest.raises(DatasetError, match="depth dtype: expected video"):
        make(ours, colour)


def test_training_leaves_it_out_in_words_and_refuses_it_when_asked(ours: Path) -> None:
    notices = describe_dataset(ours).notices()
    assert any("camera depth is not read: it is a depth camera" in line for line in notices)
    assert list(read_demonstrations([ours], cameras=["top"]).image_shapes) == ["top"]
    with pytest.raises(DatasetError, match="camera depth: it is a depth camera"):
        read_demonstrations([ours], cameras=["depth"])
