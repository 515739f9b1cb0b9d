# SPDX-License-Identifier: Apache-2.0
"""`dit_policy train` from datasets on disk to checkpoints that run, and the mistakes that it refuses."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_dataset import JOINTS, save_for_dataset, write_tiny_dataset
from tiny_policy import TASKS, random_observation

from dit_policy_ros.cli import train
from dit_policy_ros.cli.train_options import cube_tasks as cube_tasks_recipe
from dit_policy_ros.cli.train_options import make_parser, read_options
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.processing import read_stats
from dit_policy_ros.sim.robot import CAMERAS
from dit_policy_ros.training.recipes import CubeTasksConfig

QUICK = ["--steps", "3", "--batch-size", "4", "--warmup-steps", "1", "--device", "cpu"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lerobot", reason="lerobot is not installed: datasets cannot be written")
    return write_tiny_dataset(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_for_dataset(tmp_path_factory.mktemp("checkpoint") / "start")


def run(*arguments: str | Path) -> int:
    return train.main([str(argument) for argument in arguments])


def saved(output: Path, which: str = "last") -> Path:
    return output / "checkpoints" / which / "pretrained_model"


def test_a_new_policy(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new"
    options = ["--policy", "horizon=16", "n_action_steps=9", "num_inference_steps=2", "--validation", "0.5"]
    assert run("--dataset", dataset, "--output", output, *QUICK, *options) == 0
    policy = load_policy(saved(output))
    assert (policy.fps, policy.joint_names, policy.known_tasks) == (30.0, JOINTS, TASKS)
    assert policy.checkpoint.config.horizon == 16 and policy.checkpoint.config.optimizer_lr == 3e-4
    images, state = random_observation(policy.checkpoint.config)
    assert np.isfinite(policy.predict(images, state, TASKS[0])).all()
    assert "action error" in capsys.readouterr().out
    history = policy.checkpoint.facts.training
    assert history["step"] == 3 and history["frames"] == 48 and history["options"]["batch_size"] == 4
    assert str(tmp_path) not in json.dumps(history), "a checkpoint holds no paths of the machine that made it"


def test_fine_tuning_a_checkpoint_on_one_task(dataset: Path, start: Path, tmp_path: Path) -> None:
    output = tmp_path / "further"
    options = ["--task", TASKS[1], "--init", start, "--statistics", "dataset"]
    assert run("--dataset", dataset, "--output", output, *QUICK, *options) == 0
    before, after = read_checkpoint(start), read_checkpoint(saved(output))
    assert after.config == before.config and after.facts.known_tasks == TASKS
    old, new = before.policy.state_dict(), after.policy.state_dict()
    moved = {name for name in old if not np.array_equal(old[name], new[name])}
    assert any("noise_predictor" in name for name in moved)
    assert any("vision_encoder" in name for name in moved)
    assert not any("text_encoder.text_encoder" in name for name in moved)
    # Once more from there. Its statistics now cover the data, so they are kept.
    again = tmp_path / "again"
    assert run("--dataset", dataset, "--output", again, *QUICK, "--init", saved(output)) == 0
    for key, group in read_stats(saved(output)).items():
        for name, value in group.items():
            assert np.array_equal(value, read_stats(saved(again))[key][name])


@pytest.mark.slow  # test/training/trainer/test_run.py resumes within a process
def test_a_stopped_run_resumes(
    dataset: Path, start: Path, tmp_path: Path, start_process: Callable, wait_for: Callable
) -> None:
    """SIGTERM ends the run with a checkpoint; resumed, its log has every step once."""
    output = tmp_path / "run"
    options = ["--init", start, "--statistics", "dataset", "--steps", "100000", "--batch-size", "2"]
    options += ["--log-every", "1", "--dataset", dataset, "--output", output, "--device", "cpu"]
    child = start_process("train", "dit_policy_ros.cli.train", *map(str, options))
    log = output / "log.jsonl"
    wait_for(lambda: log.is_file() and len(log.read_text().splitlines()) > 2, 120, "the first steps")
    child.process.send_signal(signal.SIGTERM)
    wait_for(lambda: not child.alive, 60, "the run to end")
    assert child.process.returncode == 130 and "continue with: dit_policy train --resume" in child.output()
    done = int((output / "checkpoints" / "last").resolve().name)
    assert run("--resume", "--output", output, "--steps", str(done + 3)) == 0
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == list(range(1, done + 4))


def test_the_command_line_overrides_a_file(dataset: Path, start: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert (
        run("--dataset", dataset, "--init", start, "--statistics", "dataset", "--output", first, *QUICK) == 0
    )
    assert run("--config", first / "train.yaml", "--steps", "2", "--output", second) == 0
    steps = [read_checkpoint(saved(folder)).facts.training["step"] for folder in (first, second)]
    assert steps == [3, 2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--dataset", "nowhere"], "looked for"),
        (["--dataset", "nowhere", "--steps", "0"], "steps: expected at least 1, got 0"),
        (["--dataset", "nowhere", "--init", "neither"], "checkpoint 'neither': looked for a folder"),
        (["--dataset", "nowhere", "--output", "USED"], "this folder already holds a run"),
        ([], "--dataset: expected the folder of a LeRobotDataset, got none"),
        (["--resume"], "cannot read the options of a run"),
        (["--resume", "--config", "x.yaml"], "a resumed run has its options already"),
        (["--dataset", "DATA", "--cameras", "wrist"], "no images of camera wrist; present: cam0"),
        (["--dataset", "DATA", "--policy", "depth=3"], "unknown option 'depth'; valid options:"),
        (
            ["--dataset", "DATA", "--policy", "horizon=1"],
            "--policy: n_obs_steps: expected at most the horizon",
        ),
        (["--dataset", "DATA", "--task", "fly"], "no demonstration of 'fly'"),
        (["--dataset", "DATA", "--device", "gpu"], "device: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
        (["--dataset", "DATA", "--init", "START"], "it could not reach them"),
        (
            ["--dataset", "OTHER", "--init", "START"],
            "its state has the entries a, b, c, d; the dataset's are a, b, d, c",
        ),
        (
            ["--dataset", "FEWER", "--init", "NAMELESS"],
            "its state has 4 entries, the dataset's has 3. If the data are of another robot, --adapt",
        ),
    ],
)
def test_a_mistake_is_one_message(
    dataset: Path,
    start: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    expected: str,
) -> None:
    made: dict[str, Callable[[], Path]] = {
        "DATA": lambda: dataset,
        "START": lambda: start,
        "OTHER": lambda: write_tiny_dataset(tmp_path / "other", 1, joints=("a", "b", "d", "c")),
        "FEWER": lambda: write_tiny_dataset(tmp_path / "fewer", 1, joints=("a", "b", "c")),
        "NAMELESS": lambda: nameless(start, tmp_path / "nameless"),
        "USED": lambda: used(tmp_path / "used"),
    }
    given = [str(made[option]()) if option in made else option for option in options]
    assert run("--device", "cpu", "--output", tmp_path / "unused", *given) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert expected in shown and "Traceback" not in shown
    assert not (tmp_path / "unused" / "checkpoints").exists()


def used(folder: Path) -> Path:
    """A folder that holds a run."""
    folder.mkdir()
    (folder / "train.yaml").write_text("steps: 1\n")
    return folder


def nameless(checkpoint: Path, folder: Path) -> Path:
    """The checkpoint as LeRobot writes it: without the file that names the joints."""
    folder.mkdir()
    for path in checkpoint.rglob("*"):
        target = folder / path.relative_to(checkpoint)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.name != "dit_policy_ros.json":
            target.write_bytes(path.read_bytes())
    return folder


def test_help_shows_options_and_examples(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["dit_policy train", "--help"])
    with pytest.raises(SystemExit) as raised:
        train.main()
    shown = capsys.readouterr().out
    assert raised.value.code == 0
    for text in (
        "--vision-lr-multiplier",
        "examples:",
        "--recipe cube_tasks",
        "LeRobotDataset v3",
        "--resume",
    ):
        assert text in shown


@pytest.mark.parametrize("arguments", [["--recipe", "fold_towels"], ["--recipe=fold_towels"]])
def test_an_unknown_recipe_lists_the_known_ones(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert train.main(arguments) == 2
    assert "valid names: cube_tasks" in capsys.readouterr().err


def test_a_recipe_gets_its_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[CubeTasksConfig] = []
    monkeypatch.setattr(cube_tasks_recipe, "run_recipe", lambda config, _: given.append(config) or 1)
    tasks = ("lift the red cube with the left arm", "lift the blue cube with the right arm")
    arguments = ["--output", "here", "--task", tasks[0], "--task", tasks[1], "--threads", "3"]
    assert train.main(["--recipe", "cube_tasks", *arguments]) == 1
    assert train.main(["--recipe=cube_tasks", *arguments]) == 1
    assert given == [CubeTasksConfig(output=Path("here"), tasks=tasks, threads=3)] * 2
    assert cube_tasks_recipe.read_options([]) == CubeTasksConfig()


def test_a_mistake_in_a_recipe_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--recipe", "cube_tasks", "--work", tmp_path / "work", "--output", tmp_path / "run"]
    assert run(*asked, "--task", "juggle") == 1
    assert "knows no task 'juggle'" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("recipe", [[], ["--recipe", "cube_tasks"]])
def test_the_old_spelling_of_tasks_is_refused(
    recipe: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(*recipe, "--output", tmp_path, "--tasks", "lift", "push")
    assert "--tasks was renamed; use --task TEXT, once for each task" in capsys.readouterr().err


def test_tasks_of_a_file_are_a_list(tmp_path: Path) -> None:
    """As in the train.yaml of every run, so that runs from before --task can be resumed and repeated."""
    path = tmp_path / "train.yaml"
    path.write_text("dataset: [data]\ntasks: [lift, push]\nsteps: 5\ndevice: auto\n")
    parser = make_parser()
    options = parser.parse_args(["--config", str(path), "--output", "x"])
    assert read_options(options).tasks == ("lift", "push")
    overridden = parser.parse_args(["--config", str(path), "--output", "x", "--task", "a", "--task", "b"])
    assert read_options(overridden).tasks == ("a", "b")
    resumed = parser.parse_args(["--resume", "--output", str(tmp_path), "--steps", "9"])
    assert read_options(resumed).tasks == ("lift", "push") and read_options(resumed).steps == 9


@pytest.mark.slow
def test_two_processes_train_one_policy(
    dataset: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two processes share each batch; the run is logged and saved once, and resumes.

    On CPUs torchrun starts them; with GPUs `accelerate launch` does it in the same way.
    """
    output = tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launch, "-m", "dit_policy_ros.cli.train", "--output", str(output)]
    options = ["--dataset", str(dataset), "--init", str(start), "--statistics", "dataset", *QUICK]
    options += ["--frame-store", str(tmp_path / "frames"), "--log-every", "1", "--validation", "0.5"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for more in (options, ["--resume", "--steps", "5"]):
        done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("trained to step 5 of 5") == 1
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5]
    assert len(list((tmp_path / "frames").glob("*.npy"))) == 1
    assert load_policy(saved(output), num_inference_steps=2).known_tasks == TASKS
    # One process cannot exactly resume a run of two.
    assert run("--resume", "--output", output, "--steps", "7") == 1
    assert "processes was 2, is 1" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_the_recipe_in_miniature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lerobot", reason="lerobot is not installed: datasets cannot be written")
    tasks = ["touch the red cube with the left arm", "lift the blue cube with the right arm"]
    work, output = tmp_path / "work", tmp_path / "run"
    few = ["--stills", "60", "--vision-steps", "2", "--observation-steps", "2", "--demonstrations", "1"]
    asked = ["--recipe", "cube_tasks", "--work", work, "--output", output, *few]
    assert run(*asked, "--task", tasks[0], "--task", tasks[1], "--steps", "2") == 0
    made = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
    policy = load_policy(saved(output))
    assert policy.known_tasks == tuple(tasks) and tuple(policy.image_shapes) == CAMERAS
    images, state = random_observation(policy.checkpoint.config)
    assert np.isfinite(policy.predict(images, state, tasks[0])).all()
    start, trained = (read_checkpoint(path).policy.state_dict() for path in (work / "start", saved(output)))
    moved = {name for name, tensor in trained.items() if not tensor.equal(start[name])}
    assert moved and not any("vision_encoder" in name for name in moved), "it is frozen"
    assert run(*asked, "--task", tasks[0], "--task", tasks[1], "--steps", "4") == 0, (
        "continues where it stopped"
    )
    assert made == {path: path.stat().st_mtime_ns for path in made}, "no stage is repeated"
    assert read_checkpoint(saved(output)).facts.training["step"] == 4
    shown = capsys.readouterr().out
    assert "cubes from the wrist located to" in shown and "named cubes located to" in shown


@pytest.mark.slow
def test_episodes_that_the_operator_labelled_failures_are_not_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_tiny_dataset(tmp_path / "set", failures=(1, 2))
    assert run("--dataset", dataset, "--output", tmp_path / "good", *QUICK) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "24 of 48 frames are excluded: the operator labelled their episodes failures" in said
    state = next((tmp_path / "good" / "checkpoints").glob("0*")) / "training_state" / "progress.json"
    assert json.loads(state.read_text())["frames trained on"] == 24
    assert run("--dataset", dataset, "--output", tmp_path / "all", *QUICK, "--use-failures") == 0
    assert "failures" not in capsys.readouterr().out
    state = next((tmp_path / "all" / "checkpoints").glob("0*")) / "training_state" / "progress.json"
    assert json.loads(state.read_text())["frames trained on"] == 48
