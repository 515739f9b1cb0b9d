# SPDX-License-Identifier: Apache-2.0
"""What the container files and workflows name exists. They cannot be run here."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tools.profiles import PROFILES

ROOT = Path(__file__).resolve().parents[2]


def test_the_dockerfile_names_a_profile_and_files_that_exist():
    text = (ROOT / "docker" / "Dockerfile").read_text()
    assert re.search(r"^ARG PROFILE=(\w+)$", text, re.MULTILINE)[1] in PROFILES
    paths = re.findall(r"/ws/src/dit_policy_ros/([\w./]+)", text)
    paths += re.findall(r"/share/dit_policy_ros/([\w./]+)", text)
    assert paths and all((ROOT / path).exists() for path in paths)


def test_the_devcontainer_is_json_and_sets_up_everything():
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert "make setup'" in settings["postCreateCommand"]


def test_the_devcontainer_is_made_by_root_without_sudo(tmp_path):
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    apt_get = tmp_path / "apt-get"
    apt_get.write_text('#!/bin/sh\necho "$@"\n')
    apt_get.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", settings["onCreateCommand"]],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("update\ninstall -y "), done.stderr


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "workflows").iterdir()), ids=lambda path: path.name
)
def test_a_workflow_calls_targets_and_scripts_that_exist(path):
    jobs = yaml.safe_load(path.read_text())["jobs"]
    commands = "\n".join(step["run"] for job in jobs.values() for step in job["steps"] if "run" in step)
    for target in re.findall(r"^make ([\w-]+)", commands, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    assert all((ROOT / script).exists() for script in re.findall(r"^(\.ci/\w+)", commands, re.MULTILINE))
    assert jobs["ros"]["strategy"]["matrix"]["distro"] == ["jazzy", "kilted", "rolling"]
