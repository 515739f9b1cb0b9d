# SPDX-License-Identifier: Apache-2.0
"""Every shape of dataset is used, or refused in a sentence before anything is decoded; nothing is dropped."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mostly_slow import mostly_slow

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
from dataset_shapes import ABC, EPISODES, FRAMES, HEIGHT, SHAPES, SWAPPED, WIDTH, level, values, write_shape

from dit_policy_ros.cli import inspect, train
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import SampleReader, read_demonstrations
from dit_policy_ros.data.description import describe_dataset, describe_info
from dit_policy_ros.policy import load_policy

REFUSED = {
    "no_state": r"expected observation.state and action, missing: observation.state",
    "action_2d": r"action has the shape \(2, 3\), and a policy needs a vector",
}
NAMELESS = {"names_none", "one_name_for_all", "wrong_names_length", "names_twice"}
QUICK = ["--steps", "1", "--batch-size", "2", "--warmup-steps", "1", "--device", "cpu"]
SMALL = ["--policy", "horizon=4", "n_action_steps=3", "num_inference_steps=2", "image_resize_shape=[36,48]"]
SMALL += ["image_crop_shape=[36,36]"]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that writes the dataset of a shape once."""
    folder = tmp_path_factory.mktemp("shapes")

    def write(name: str) -> Path:
        return folder / name if (folder / name).exists() else write_shape(folder / name, name)

    return write


# Each is read in every run of the tests; most are drawn and trained with in `make test-all` only.
IN_EVERY_RUN = {"usual", "libero_like", "swapped_arms", "names_twice", "images_and_video", *REFUSED}
MOST_SLOW = [pytest.param(name, marks=() if name in IN_EVERY_RUN else pytest.mark.slow) for name in SHAPES]


@pytest.mark.parametrize("name", [name for name in SHAPES if name not in (*REFUSED, "two_sizes")])
def test_every_row_is_read_as_it_was_written(written: Any, name: str) -> None:
    root, shape = written(name), SHAPES[name]
    data = read_demonstrations(root)
    features = shape.all_features()
    rows = [(episode, frame) for episode in range(EPISODES) for frame in range(FRAMES)]
    for key, got in (("observation.state", data.state), ("action", data.action)):
        expected = np.stack([values(features[key]["shape"][0], *row) for row in rows])
        np.testing.assert_allclose(got, expected, atol=1e-6)
        assert data.stats[key]["max"].shape == (features[key]["shape"][0],)
    cameras = {key for key, each in features.items() if each["dtype"] in ("video", "image")}
    assert set(data.image_sizes) == cameras, "no camera is dropped"
    assert set(data.image_sizes.values()) <= {(HEIGHT, WIDTH)}
    for images in data.images.values():
        expected = np.array([level(*row) for row in rows])
        assert images.shape == (len(rows), HEIGHT, WIDTH, 3)
        assert np.abs(images.mean(axis=(1, 2, 3)) - expected).max() <= 3, "neighbouring frames differ by 10"
    assert data.fps == float(shape.fps)


@pytest.mark.parametrize("name", MOST_SLOW)
def test_a_shape_trains_to_a_checkpoint_that_loads_or_is_refused(
    written: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--dataset", str(written(name)), "--output", str(tmp_path / "run"), *QUICK, *SMALL]
    code = train.main(arguments)
    printed = " ".join(capsys.readouterr().out.split())
    if name in REFUSED:
        assert code == 1 and not (tmp_path / "run").exists()
        assert re.search(REFUSED[name], printed), printed
        return
    assert code == 0, printed
    policy = load_policy(tmp_path / "run" / "checkpoints" / "last" / "pretrained_model")
    description = describe_dataset(written(name))
    state, action = description.state_and_action()
    assert (policy.joint_names, policy.action_names) == (state.names, action.names)
    assert (policy.state_dim, policy.action_dim, policy.fps) == (
        state.dim,
        action.dim,
        float(SHAPES[name].fps),
    )
    assert len(policy.image_shapes) == len(description.cameras)
    assert (state.names is None) == (name in NAMELESS)
    for notice in description.notices():
        assert notice in printed, "the run says it"
    if name in ("swapped_arms", "reversed_action"):
        assert "the state's names in another order" in printed
        assert policy.joint_names == tuple(ABC) and policy.action_names != policy.joint_names


@pytest.mark.parametrize("name", MOST_SLOW)
def test_inspect_shows_and_draws_every_shape(
    written: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "picture.png"
    assert inspect.main([str(written(name)), "--picture", str(picture)]) == 0, capsys.readouterr().err
    assert picture.stat().st_size > 1000


def test_the_names_of_swapped_arms_are_read_of_both(written: Any) -> None:
    description = describe_dataset(written("swapped_arms"))
    state, action = description.state_and_action()
    assert state.names == tuple(ABC) and action.names == tuple(SWAPPED)


def test_names_in_any_form_are_those_of_the_entries(written: Any) -> None:
    for name in ("names_in_a_list", "names_by_group", "names_by_position", "names_axes"):
        state, _ = describe_dataset(written(name)).state_and_action()
        assert state.names == tuple(ABC), name


def test_a_camera_is_called_by_its_name_or_by_its_key(written: Any) -> None:
    for wanted in ("head.rgb", "observation.images.head.rgb"):
        assert list(read_demonstrations(written("dotted_camera"), (wanted,)).images) == ["head.rgb"]
    reader = SampleReader(written("dotted_camera"), ("head.rgb",), 1, 3)
    assert reader.read(2).images["head.rgb"].shape == (1, HEIGHT, WIDTH, 3)
    assert list(read_demonstrations(written("image_twice")).images) == ["observation.image", "image"]
    assert list(read_demonstrations(written("two_sizes"), ("wrist",)).images) == ["wrist"]
    with pytest.raises(DatasetError, match="no images of camera belly; present: top"):
        read_demonstrations(written("usual"), ("belly",))


def test_cameras_of_different_sizes_are_read_in_one_size_or_refused(written: Any, tmp_path: Path) -> None:
    root = written("two_sizes")
    with pytest.raises(DatasetError, match=r"different sizes \(top 64x48, wrist 48x32; .*image_resize_shape"):
        read_demonstrations(root)
    data = read_demonstrations(root, size=(24, 32))
    assert {name: images.shape[1:3] for name, images in data.images.items()} == {
        "top": (24, 32),
        "wrist": (24, 32),
    }
    assert data.image_shapes == {"top": (48, 64), "wrist": (32, 48)}


def test_a_network_that_does_not_resize_refuses_different_sizes(
    written: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--dataset", str(written("two_sizes")), "--output", str(tmp_path / "run"), *QUICK]
    assert train.main([*arguments, "--policy", "image_resize_shape=null"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "different sizes (top 64x48, wrist 48x32; width x height)" in printed
    assert "--policy image_resize_shape=[HEIGHT,WIDTH]" in printed and not (tmp_path / "run").exists()


def test_a_depth_camera_is_left_out_in_words(written: Any, tmp_path: Path) -> None:
    info = json.loads((written("usual") / "meta" / "info.json").read_text())
    info["features"]["observation.images.depth"] = {
        "dtype": "video",
        "shape": [HEIGHT, WIDTH, 1],
        "names": ["height", "width", "channels"],
        "info": {"is_depth_map": True},
    }
    description = describe_info(tmp_path, info)
    assert any("camera depth is not read: it is a depth camera" in line for line in description.notices())


def test_vectors_that_nothing_reads_are_listed(written: Any) -> None:
    notices = "\n".join(describe_dataset(written("further_vectors")).notices())
    assert "observation.effort (6,) is not used (train --state-features effort reads it)" in notices
    unused = "is not used (train --state-features environment_state reads it)"
    assert f"observation.environment_state (3,) {unused}" in notices
    assert "next.reward is not used" in notices


def test_an_array_of_tactile_cells_is_read_row_after_row(written: Any) -> None:
    from lerobot.datasets import LeRobotDataset

    root = written("further_vectors")
    data = read_demonstrations(root, vectors=("tactile", "environment_state"))
    assert data.state_parts == {
        "observation.state": 6,
        "observation.tactile": 6,
        "observation.environment_state": 3,
    }
    cells = LeRobotDataset("local/shapes", root=root, video_backend="pyav")[3]["observation.tactile"].numpy()
    assert cells.shape == (2, 3)
    np.testing.assert_array_equal(data.state[3, 6:12], cells.ravel())
    assert data.stats["observation.tactile"]["min"].shape == (6,)
    sample = SampleReader(root, (), 2, 3, ("tactile",)).read(3)
    np.testing.assert_array_equal(sample.state[-1, 6:], cells.ravel())
    notices = describe_dataset(root).notices(("tactile",))
    assert any("tactile has no names (its axes are read row after row)" in each for each in notices)


@pytest.mark.parametrize("fps", ["30", True, 0, -5, float("nan"), None])
def test_a_rate_that_is_no_number_above_zero_is_refused(written: Any, tmp_path: Path, fps: Any) -> None:
    info = json.loads((written("usual") / "meta" / "info.json").read_text())
    with pytest.raises(DatasetError, match=r"fps: expected a number above 0 \[Hz\]"):
        describe_info(tmp_path, info | {"fps": fps})


SAMPLED = ["image", "image_obs", "images_and_video", "channel_first", "libero_like", "one_of_each", "usual"]


@pytest.mark.parametrize("name", mostly_slow(SAMPLED, 3))
def test_single_samples_are_those_of_the_whole_dataset(written: Any, name: str) -> None:
    """diagnose reads single samples through LeRobot, train reads everything by itself."""
    data = read_demonstrations(written(name))
    reader = SampleReader(written(name), tuple(data.images), 2, 3)
    assert (reader.state_dim, reader.action_dim) == (data.state.shape[1], data.action.shape[1])
    for row in (0, 4, FRAMES, 2 * FRAMES - 1):
        sample, before = reader.read(row), row if row % FRAMES == 0 else row - 1
        np.testing.assert_allclose(sample.state, data.state[[before, row]], atol=1e-6)
        count = int(sample.valid.sum())
        assert count == min(3, FRAMES - row % FRAMES)
        np.testing.assert_allclose(sample.action[:count], data.action[row : row + count], atol=1e-6)
        for camera, images in sample.images.items():
            assert images.shape == (2, HEIGHT, WIDTH, 3)
            difference = np.abs(images.astype(int) - data.images[camera][[before, row]])
            assert difference.max() <= 2, "two decoders"


def test_datasets_of_different_shapes_are_not_read_together(written: Any) -> None:
    roots = [written("usual"), written("swapped_arms")]
    with pytest.raises(DatasetError, match=r"action names: expected \['left_a'.*got \['right_a'"):
        read_demonstrations(roots)
    both = read_demonstrations([written("usual"), written("image")])
    assert len(both.state) == 4 * FRAMES, "a camera may be stored as video in one and as images in the other"
    means = both.images["top"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means[: 2 * FRAMES], means[2 * FRAMES :], atol=3)
    with pytest.raises(DatasetError, match=r"no images of camera observation.images.top"):
        read_demonstrations([written("usual"), written("obs_image")])
    for names in ("names_none", "wrong_names_length"):
        with pytest.raises(DatasetError, match="got 6 entries without names"):
            read_demonstrations([written("usual"), written(names)])
