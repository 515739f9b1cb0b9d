# SPDX-License-Identifier: Apache-2.0
"""Cameras: framing, colours, intrinsics, and what happens where nothing can be rendered."""

import ctypes.util

import numpy as np
import pytest

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.robot import CUBES, BimanualSim, Renderer, focal_length
from dit_policy_ros.sim.robot._cubes import WORKSPACE
from dit_policy_ros.sim.robot._renderer import choose_backend

CHANNEL = {"red": 0, "green": 1, "blue": 2}


def mask(image: np.ndarray, colour: str) -> np.ndarray:
    """Pixels (H, W) in which one colour dominates."""
    channel = CHANNEL[colour]
    others = np.delete(image.astype(int), channel, axis=2).max(axis=2)
    return image[..., channel] > np.maximum(2 * others, 60)  # the arms' orange rings do not count as red


@pytest.fixture(scope="module")
def sim():
    with BimanualSim(seed=0) as made:
        yield made


def test_distances_are_those_of_the_scene(sim):
    sim.reset(cubes=np.array([[0.0, 0.0, 0.0], [0.1, 0.1, 0.0], [-0.1, -0.1, 0.0]]))
    camera = sim.data.camera("top")
    backwards = camera.xmat.reshape(3, 3)[:, 2]
    top_face = sim.cube_position("red") + np.array([0.0, 0.0, 0.02])  # its middle
    with Renderer(sim.model, 320, 240) as renderer:
        distances = renderer.render_depth(sim.data.qpos, "top")  # (H, W) [m]
        red = mask(renderer.render(sim.data.qpos, ("top",))["top"], "red")
    assert distances.dtype == np.float32 and distances.shape == (240, 320)
    np.testing.assert_allclose(distances[red].min(), backwards @ (camera.xpos - top_face), atol=0.003)


def test_cubes_are_eight_to_nine_percent_of_the_top_image_wide(sim):
    sim.reset(cubes=np.array([[0.0, 0.0, 0.0], [0.1, 0.1, 0.0], [-0.1, -0.1, 0.0]]))
    columns = np.nonzero(mask(sim.render("top")["top"], "red"))[1]
    assert 0.08 <= (columns.max() - columns.min() + 1) / 320 <= 0.09


def test_the_workspace_lies_in_the_middle_square_of_the_top_image(sim):
    w = WORKSPACE
    for corners in (((w, w), (w, -w), (-w, w)), ((-w, -w), (w, -w), (-w, w))):
        cubes = np.array([(x, y, np.pi / 4) for x, y in corners])
        sim.reset(cubes=cubes)
        image = sim.render("top")["top"]
        for colour in CUBES:
            rows, columns = np.nonzero(mask(image, colour))
            assert len(rows) > 400
            assert rows.min() > 0
            assert rows.max() < 239
            assert columns.min() > 40
            assert columns.max() < 279


def test_intrinsics_project_the_cubes_where_they_are_seen(sim):
    for seed in range(5):
        sim.reset(seed=seed)
        image = sim.render("top")["top"]
        f = focal_length(sim.model, "top", 240)
        camera = sim.data.camera("top")
        axes = camera.xmat.reshape(3, 3)  # columns: right, up, backwards
        for colour in CUBES:
            top_face = sim.cube_position(colour) + np.array([0.0, 0.0, 0.02])
            right, up, back = axes.T @ (top_face - camera.xpos)
            expected = np.array([119.5 - f * up / -back, 159.5 + f * right / -back])  # row, column
            seen = np.mean(np.nonzero(mask(image, colour)), axis=1)
            np.testing.assert_allclose(seen, expected, atol=2.5)  # a sliver of the sides shows too


def test_wrist_cameras_see_the_fingers_and_the_cubes(sim):
    sim.reset(seed=0)
    images = sim.render("left_wrist", "right_wrist")
    for image in images.values():
        assert (image[-30:].mean(axis=2) < 80).mean() > 0.05  # dark fingers at the lower edge
        assert any(mask(image, colour).sum() > 100 for colour in CUBES)


def test_an_unknown_camera_is_refused_with_the_known_ones(sim):
    with pytest.raises(SimulationError, match=r"side_view.*top.*left_wrist"):
        sim.render("side_view")


def test_rendering_again_gives_the_same_image(sim):
    np.testing.assert_array_equal(sim.render("top")["top"], sim.render("top")["top"])


def test_without_a_renderer_the_error_names_the_packages(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
    with pytest.raises(SimulationError, match=r"libegl1.*libosmesa6"):
        choose_backend()


@pytest.mark.parametrize(("present", "chosen"), [(("EGL", "OSMesa"), "egl"), (("OSMesa",), "osmesa")])
def test_the_backend_is_chosen_by_what_is_installed(monkeypatch, present, chosen):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: name if name in present else None)
    assert choose_backend() == chosen


def test_an_unknown_backend_is_refused(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    with pytest.raises(SimulationError, match=r"vulkan.*unset"):
        choose_backend()
