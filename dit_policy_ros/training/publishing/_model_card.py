# SPDX-License-Identifier: Apache-2.0
"""The card of a checkpoint: data, tasks, scores, and how to run it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX
from dit_policy_ros.data.hub import card_table
from dit_policy_ros.policy.checkpoint import CheckpointFacts, read_checkpoint
from dit_policy_ros.policy.config import PolicyConfig

_TAGS = ["robotics", "lerobot", "multi_task_dit", "dit_policy_ros"]
_NOT_STATED = "not stated"


def model_card(checkpoint: Path, name: str, evaluation: Mapping[str, Any] | None = None) -> str:
    """The content of README.md for a checkpoint on the hub.

    Args:
        checkpoint: its folder.
        name: of the repository, ``owner/name``.
        evaluation: of this checkpoint, from ``read_evaluation``; None if it was not evaluated.

    Raises:
        CheckpointError: the checkpoint cannot be read.
    """
    found = read_checkpoint(checkpoint)
    facts, title = found.facts, name.partition("/")[2]
    data = ModelCardData(
        library_name="lerobot",
        pipeline_tag="robotics",
        tags=_TAGS,
        model_name=title,
        eval_results=None if evaluation is None else _eval_results(evaluation),
    )
    parts = [
        f"# {title}",
        "A Multitask Diffusion Transformer policy: camera images, joint positions and a plain instruction "
        "in, a chunk of joint positions out. Trained with dit_policy_ros; the format is LeRobot's "
        "`multi_task_dit`.",
        "## Tasks",
        "\n".join(f"- {task}" for task in facts.known_tasks) or f"Its instructions are {_NOT_STATED}.",
        "## Robot",
        _robot(found.config, facts),
        "## Data and training",
        _training(facts),
        "## Scores",
        _validation(facts),
        _evaluation(evaluation),
        "## How to run it",
        _export(name) if found.config.unified_slots else _usage(name, facts),
    ]
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"))


def _robot(config: PolicyConfig, facts: CheckpointFacts) -> str:
    cameras = [
        f"{key.removeprefix(IMAGE_PREFIX)} ({'x'.join(map(str, feature.shape))})"
        for key, feature in config.image_features.items()
    ]
    rows = [
        ("joints, in this order", ", ".join(facts.joint_names or ()) or _NOT_STATED),
        ("cameras", ", ".join(cameras) or "none"),
        *(
            (key, ", ".join(facts.vector_names.get(key) or ()) or f"{length} entries")
            for key, length in list(config.state_parts.items())[1:]
        ),
        ("rate", f"{facts.fps:g} Hz" if facts.fps else _NOT_STATED),
        ("observations", f"{config.n_obs_steps}"),
        ("chunk", f"{config.horizon} steps, of which {config.n_action_steps} are executed"),
        ("objective", config.objective),
    ]
    return card_table(("", ""), rows)


def _training(facts: CheckpointFacts) -> str:
    history = facts.training
    options = history.get("options") or {}
    names = ("dataset", "steps", "batch_size", "learning_rate", "loss", "seed")
    rows = [("frames", history.get("frames", _NOT_STATED)), ("step", history.get("step", _NOT_STATED))]
    rows += [(name, _plain(options[name])) for name in names if name in options]
    return card_table(("", ""), rows)


def _validation(facts: CheckpointFacts) -> str:
    scores = facts.training.get("validation") or {}
    if not scores.get("tasks"):
        return "No demonstrations were held out (`dit_policy train --validation`)."
    rows = [
        (score["task"], score["frames"], f"{score['loss']:.5f}", f"{score['action_error']:.4f}")
        for score in scores["tasks"]
    ]
    return "On held-out demonstrations, with the averaged weights:\n\n" + card_table(
        ("instruction", "frames", "loss", "action error [rad or m]"), rows
    )


def _evaluation(evaluation: Mapping[str, Any] | None) -> str:
    if evaluation is None:
        return "It was not evaluated in closed loop when this card was written."
    rows = [
        (
            task["instruction"],
            task["episodes"],
            f"{task['success_rate']:.0%}",
            f"{task['ci95'][0]:.0%} to {task['ci95'][1]:.0%}",
            f"{task['wrong_rate']:.0%}",
        )
        for task in evaluation["tasks"]
    ]
    return (
        f"In the simulator ({evaluation['mode']}), in scenes that it had not seen: success in "
        f"{evaluation['success_rate']:.1%} of {evaluation['episodes']} episodes.\n\n"
        + card_table(("instruction", "episodes", "success", "95% interval", "another task"), rows)
    )


def _eval_results(evaluation: Mapping[str, Any]) -> list[EvalResult]:
    """The success rates in the form that the hub lists."""
    return [
        EvalResult(
            task_type="robotics",
            task_name=task["instruction"],
            dataset_type="dit_policy_ros",
            dataset_name="the simulated tasks of dit_policy_ros",
            metric_type="success_rate",
            metric_value=round(task["success_rate"], 4),
        )
        for task in evaluation["tasks"]
    ]


def _export(name: str) -> str:
    """How to use the network of several robots."""
    return (
        "It is a network for several robots. Each runs its own part of it; without `--robot` the command "
        f"lists the robots:\n\n    dit_policy export_robot {name} --robot NAME --output FOLDER"
    )


def _usage(name: str, facts: CheckpointFacts) -> str:
    task = facts.known_tasks[0] if facts.known_tasks else "pick up the red cube"
    return (
        "On a robot whose contract has these joints and cameras, shadow mode first:\n\n"
        "    ros2 launch dit_policy_ros bimanual.launch.py robot:=external config:=my_robot.yaml \\\n"
        f"        checkpoint:={name}\n"
        "    ros2 service call /policy/set_task dit_policy_ros/srv/SetTask \\\n"
        f"        \"{{task: '{task}'}}\"\n\n"
        "In Python:\n\n"
        "    from dit_policy_ros.policy import load_policy\n"
        f'    policy = load_policy("{name}")\n\n'
        "Nothing in it is safety-rated: keep a hardware emergency stop within reach."
    )


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
