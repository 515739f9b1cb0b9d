# SPDX-License-Identifier: Apache-2.0
import pytest

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.robot import _assets as assets


def test_a_shipped_model_is_found():
    assert assets.asset_path("mjcf/bimanual.xml").read_text().count("<mujoco ") == 1


def test_a_missing_model_says_where_it_was_expected():
    with pytest.raises(SimulationError, match=r"mjcf/missing\.xml.*install the package again"):
        assets.asset_path("mjcf/missing.xml")


def test_an_installation_without_data_is_a_user_error(monkeypatch):
    def nothing():
        raise FileNotFoundError("the data lie nowhere")

    monkeypatch.setattr(assets, "share_directory", nothing)
    with pytest.raises(SimulationError, match="the data lie nowhere"):
        assets.asset_path("mjcf/bimanual.xml")
