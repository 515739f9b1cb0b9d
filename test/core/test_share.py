# SPDX-License-Identifier: Apache-2.0
"""The package finds its data in every layout in which it is installed."""

from pathlib import Path

import pytest

from dit_policy_ros.core.share import ready_robots, share_directory

MODULE = "dit_policy_ros/core/share.py"


def add_data(folder: Path) -> Path:
    (folder / "config").mkdir(parents=True)
    (folder / "package.xml").touch()
    return folder


@pytest.mark.parametrize(
    ("module", "data"),
    [
        (MODULE, ""),  # a checkout
        (f"lib/python3.12/site-packages/{MODULE}", "share/dit_policy_ros"),  # pip, or colcon's install space
        (f"dit_policy_ros/lib/python3.12/site-packages/{MODULE}", "dit_policy_ros/share/dit_policy_ros"),
    ],
)
def test_every_layout(tmp_path, module, data):
    expected = add_data(tmp_path / data)
    assert share_directory(tmp_path / module) == expected


def test_a_symlink_install_has_its_own_share_folder(tmp_path):
    source = tmp_path / "src" / MODULE
    source.parent.mkdir(parents=True)
    source.touch()
    link = tmp_path / "install/lib/python3.12/site-packages" / MODULE
    link.parent.mkdir(parents=True)
    link.symlink_to(source)
    expected = add_data(tmp_path / "install/share/dit_policy_ros")
    assert share_directory(link) == expected


def test_an_installation_without_data_names_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"pip install \.` or `colcon build"):
        share_directory(tmp_path / MODULE)


def test_the_ready_robots_are_the_contracts_and_not_their_controllers():
    found = ready_robots()
    assert {"aloha", "ur5e_pair"} <= set(found)
    assert all(file.name == f"{name}.yaml" and file.is_file() for name, file in found.items())
    assert not any(name.endswith("controllers") for name in found)
