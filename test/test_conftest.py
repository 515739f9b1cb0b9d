# SPDX-License-Identifier: Apache-2.0
"""What test/conftest.py promises: groups stay together, and a test that hangs fails and says where."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HANGS_IN_PYTHON = "threading.Event().wait()"
HANGS_IN_A_LIBRARY = "ctypes.PyDLL(None).pause()"  # PyDLL keeps the interpreter's lock: no handler runs
SAYS_WHERE_IT_RAN = """\
import os, pathlib, pytest, time


@pytest.mark.parametrize("number", range(4))
def test_runs(number):
    with pathlib.Path({path!r}).open("a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
    time.sleep(0.2)  # long enough for the other worker to take the next test, if it may
"""


def run(folder: Path, tests: dict[str, str], *options: str) -> tuple[int, str]:
    """Runs these tests as the Makefile does, with this project's conftest and settings."""
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "conftest.py").write_text((ROOT / "test" / "conftest.py").read_text())
    for name, source in tests.items():
        path = folder / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    makefile = (ROOT / "Makefile").read_text()
    how = next(line for line in makefile.splitlines() if line.startswith("PYTEST :=")).split("-m pytest ")[1]
    how = how.replace("-n auto", "-n 2")
    options = (f"--rootdir={folder}", "-c", str(ROOT / "pyproject.toml"), *options)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *how.split(), *options, str(folder / "test")],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'test' / 'support'}"},
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("body", [HANGS_IN_PYTHON, HANGS_IN_A_LIBRARY])
def test_a_test_that_hangs_fails_and_says_where(body: str, tmp_path: Path) -> None:
    source = f"import ctypes, threading\n\n\ndef test_waits():\n    {body}\n\n\ndef test_ends():\n    pass\n"
    code, printed = run(tmp_path, {"test_small.py": source}, "-o", "timeout=2")
    assert code == 1, printed
    assert "1 failed, 1 passed" in printed, printed
    assert "test_small.py:5" in printed or 'test_small.py", line 5' in printed, printed


def test_no_thread_of_a_test_gets_a_real_time_priority() -> None:
    """As LeRobot's encoder would, as root."""
    refused: list[bool] = []

    def ask() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        except PermissionError:
            refused.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    ask()
    assert refused == [True, True]


def test_a_file_and_the_whole_system_stay_in_one_process_each(tmp_path: Path) -> None:
    def source(name: str) -> str:
        return SAYS_WHERE_IT_RAN.format(path=str(tmp_path / name))

    whole = {each: source("whole") for each in ("cli/test_demo.py", "ros/test_faults.py")}
    files = {f"test_{each}.py": source(each) for each in ("a", "b")}
    code, printed = run(tmp_path, files | whole)
    assert code == 0, printed
    workers = {each: (tmp_path / each).read_text().split() for each in ("whole", "a", "b")}
    assert {each: len(ran) for each, ran in workers.items()} == {"whole": 8, "a": 4, "b": 4}
    assert all(len(set(ran)) == 1 for ran in workers.values()), workers
    assert workers["whole"][0] != workers["a"][0], "the whole system comes first, and the rest beside it"


def test_an_end_that_fails_is_reported_though_the_process_left_no_log(tmp_path: Path) -> None:
    """The folder of a test that passed is gone by then, with what its processes wrote."""
    source = (
        "import pytest\n\n\n@pytest.fixture\ndef late():\n    yield\n    raise ValueError('the end')\n\n\n"
        "def test_starts(late, start_process):\n    start_process('child', 'sleep', '60')\n\n\n"
        "def test_ends():\n    pass\n"
    )
    code, printed = run(tmp_path, {"test_small.py": source})
    assert code == 1 and "2 passed, 1 error" in printed, printed
    assert "the end" in printed and "INTERNALERROR" not in printed, printed
