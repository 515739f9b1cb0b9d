# SPDX-License-Identifier: Apache-2.0
"""Builds this checkout with colcon in a temporary workspace and checks the installation.

    python tools/colcon_check.py [--mode copy|symlink] [--workspace build/colcon]

Without --mode it builds both ways. The workspace gets a copy of the files that git tracks or would add, so
that other files in the checkout cannot make the build pass.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "dit_policy_ros"
OPTIONS = {"copy": [], "symlink": ["--symlink-install"]}


def source_files() -> list[str]:
    """The files that git tracks or would add."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode:
        raise SystemExit(f"colcon_check.py needs a git checkout: {listed.stderr.strip()}")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def copy_source(target: Path) -> None:
    for name in source_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def environment() -> dict[str, str]:
    """This shell's environment, with the prefix of the running Python, where the ROS wheels are."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p and p != sys.prefix]
    return {
        **os.environ,
        "PATH": os.pathsep.join([f"{sys.prefix}/bin", os.environ.get("PATH", os.defpath)]),
        "AMENT_PREFIX_PATH": os.pathsep.join([*prefixes, sys.prefix]),
        "CMAKE_PREFIX_PATH": os.pathsep.join([*prefixes, sys.prefix]),
    }


def run(command: list[str], folder: Path) -> str:
    """Runs a command in a folder and returns its output; ends the program if the command fails."""
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise SystemExit(f"failed: {' '.join(command)}")
    return done.stdout


def build_and_check(mode: str, workspace: Path) -> None:
    shutil.rmtree(workspace, ignore_errors=True)
    copy_source(workspace / "src" / NAME)
    listed = run(["colcon", "list"], workspace)
    if "(ros.ament_cmake)" not in listed:  # with an invalid package.xml, colcon sees a plain Python package
        raise SystemExit(f"expected colcon to find an ament_cmake package, got: {listed}")
    start = time.monotonic()
    arguments = [f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF"]
    run(["colcon", "build", *OPTIONS[mode], "--cmake-args", *arguments], workspace)
    print(f"colcon build {' '.join(OPTIONS[mode])}: {time.monotonic() - start:.1f} s")
    install = workspace / "install"
    checker = Path(__file__).with_name("check_install.py")
    run(["bash", "-c", f". '{install}/setup.bash' && python '{checker}' '{install}/{NAME}'"], workspace)
    executables = sorted(path.name for path in (install / NAME / "lib" / NAME).iterdir())
    print(f"  checked interfaces, nodes, share and executables: {', '.join(executables)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mode", choices=OPTIONS, help="copy the modules or link them (default: both ways)")
    parser.add_argument(
        "--workspace",
        type=Path,
        default=ROOT / "build" / "colcon",
        help="folder of the workspace; its content is replaced (default: build/colcon)",
    )
    options = parser.parse_args()
    for mode in [options.mode] if options.mode else OPTIONS:
        build_and_check(mode, options.workspace.absolute() / mode)


if __name__ == "__main__":
    main()
