# SPDX-License-Identifier: Apache-2.0
"""Installs this ROS package with pip: runs the same CMake build as colcon and packs its install tree.

So `pip install .` needs ament_cmake and rosidl, in the prefix of the running Python or in AMENT_PREFIX_PATH.
`make setup` installs them.
"""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PLUGINS = find_packages("lerobot_plugins")  # of LeRobot, which finds them by their names
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
NAME = MANIFEST.findtext("name", "")


def manifest(tag: str) -> str:
    """The text of an element of package.xml, on one line."""
    return " ".join(MANIFEST.findtext(tag, "").split())


def pinned(requirements: str) -> list[str]:
    """The packages of requirements/NAME.txt, each with its version in constraints/python3.12.txt."""
    pins = (ROOT / "constraints" / "python3.12.txt").read_text().splitlines()
    versions = {pin.partition("==")[0].lower(): pin for pin in pins}
    names = (ROOT / "requirements" / f"{requirements}.txt").read_text().splitlines()
    return [versions[name.lower()] for name in names if name and not name.startswith("#")]


class ColconLikeBuild(build_py):
    """build_py that takes the package, with its generated modules, from CMake's install tree."""

    def run(self) -> None:
        if self.editable_mode:  # uses the source tree in place; the interfaces must be installed separately
            super().run()
            return
        stage = self._install_tree()
        package = next(stage.glob(f"**/*-packages/{NAME}"))
        target = Path(self.build_lib) / NAME
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))
        for plugin in package.parent.glob("lerobot_*"):
            shutil.rmtree(target.parent / plugin.name, ignore_errors=True)
            shutil.copytree(plugin, target.parent / plugin.name, ignore=shutil.ignore_patterns("__pycache__"))
        self.distribution.data_files = self._data_files(stage, package.parent)

    def _install_tree(self) -> Path:
        """Configures, builds and installs with CMake. Keeps the build tree, so that a second run is fast."""
        build_tree = ROOT / "build" / "pip"
        stage = build_tree / "stage"
        shutil.rmtree(stage, ignore_errors=True)
        prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p] + [sys.prefix]
        environment = dict(
            os.environ,
            AMENT_PREFIX_PATH=os.pathsep.join(prefixes),
            CMAKE_PREFIX_PATH=os.pathsep.join(prefixes),
            # pip's build isolation hides the Python packages that the interface generators import
            PYTHONPATH=os.pathsep.join(p for p in [*site_packages(), *sys.path] if p),
        )
        configure = ["cmake", "-S", str(ROOT), "-B", str(build_tree), "-DBUILD_TESTING=OFF"]
        configure += [f"-DPython3_EXECUTABLE={sys.executable}", f"-DCMAKE_INSTALL_PREFIX={stage}"]
        if not (build_tree / "CMakeCache.txt").exists() and shutil.which("ninja"):
            configure += ["-G", "Ninja"]
        for command in (configure, ["cmake", "--build", str(build_tree), "--target", "install"]):
            subprocess.run(command, check=True, env=environment)
        return stage

    def _data_files(self, stage: Path, modules: Path) -> list[tuple[str, list[str]]]:
        """All files outside the Python modules, grouped by folder relative to the prefix."""
        folders: dict[str, list[str]] = {}
        for file in sorted(p for p in stage.rglob("*") if p.is_file() and modules not in p.parents):
            folder = str(file.parent.relative_to(stage))
            folders.setdefault(folder, []).append(str(file.relative_to(ROOT)))
        return list(folders.items())


def site_packages() -> list[str]:
    """The interpreter's own site-packages, which pip's build isolation removes from sys.path."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [str(Path(sys.prefix) / "lib" / version / "site-packages")]


class BinaryDistribution(Distribution):
    """Makes the wheel platform-specific, because the generated type support is compiled."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    name=NAME,
    version=manifest("version"),
    description=manifest("description"),
    license=manifest("license"),
    maintainer=manifest("maintainer"),
    python_requires=">=3.12",
    extras_require={name: pinned(name) for name in ("panel", "scale", "view", "wandb")},
    packages=[*find_packages(include=[NAME, f"{NAME}.*"]), *PLUGINS],
    package_dir={plugin: f"lerobot_plugins/{plugin}" for plugin in PLUGINS},
    data_files=[("share/ament_index/resource_index/packages", [f"resource/{NAME}"])],
    entry_points={"console_scripts": [f"dit_policy = {NAME}.cli.main:main"]},
    cmdclass={"build_py": ColconLikeBuild},
    distclass=BinaryDistribution,
)
