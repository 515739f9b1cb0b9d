# SPDX-License-Identifier: Apache-2.0
"""Model files are found wherever the package lives."""

import pytest

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.robot import _assets as assets


def place(path, text="<mujoco/>"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("module", "model"),
    [
        ("dit_policy_ros/sim/robot/_assets.py", "mjcf/bimanual.xml"),  # a checkout
        (
            "lib/python3.12/site-packages/dit_policy_ros/sim/assets.py",  # pip, or colcon's install space
            "share/dit_policy_ros/mjcf/bimanual.xml",
        ),
    ],
)
def test_both_layouts(tmp_path, monkeypatch, module, model):
    monkeypatch.setattr(assets, "__file__", str(place(tmp_path / module, "")))
    expected = place(tmp_path / model)
    assert assets.asset_path("mjcf/bimanual.xml") == expected


def test_a_symlink_install_is_followed_to_the_checkout(tmp_path, monkeypatch):
    source = place(tmp_path / "src/dit_policy_ros/sim/assets.py", "")
    expected = place(tmp_path / "src/mjcf/bimanual.xml")
    link = tmp_path / "install/lib/dit_policy_ros/sim/assets.py"
    link.parent.mkdir(parents=True)
    link.symlink_to(source)
    monkeypatch.setattr(assets, "__file__", str(link))
    assert assets.asset_path("mjcf/bimanual.xml") == expected


def test_a_missing_model_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "__file__", str(place(tmp_path / "dit_policy_ros/sim/robot/_assets.py", "")))
    with pytest.raises(SimulationError, match=r"mjcf/missing\.xml.*install the package again"):
        assets.asset_path("mjcf/missing.xml")
