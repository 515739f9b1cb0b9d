# SPDX-License-Identifier: Apache-2.0
"""A policy node whose checkpoint knows what it was trained with, asked for other things by its services."""

import shutil

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import torch
from diagnostic_msgs.msg import DiagnosticArray
from policy_watch import running, state
from rclpy.parameter import Parameter
from small_robot import TASKS
from waiting import wait_for

from dit_policy_ros.policy.checkpoint import KnownInstructions, read_checkpoint, write_instructions
from dit_policy_ros.ros.common import qos
from dit_policy_ros.training.wordings import fit_wordings

NEAR, FAR = "touch the red cube with your left arm", "bake a cake"


@pytest.fixture(scope="module")
def judging(checkpoint, tmp_path_factory):
    """A copy of the small robot's checkpoint that knows the features of its tasks' wordings."""
    folder = tmp_path_factory.mktemp("judging") / "tiny"
    shutil.copytree(checkpoint, folder)
    read = read_checkpoint(folder)
    encoder, known = read.policy.observation_encoder.text_encoder, read.facts.known_tasks
    features = encoder.pool(*read.encoder_files.tokenizer([*known, NEAR, FAR]))
    vectors = torch.nn.functional.normalize(features)
    near, far = (float((vectors[: len(known)] @ vectors[row]).max()) for row in (-2, -1))
    assert near > far, "the texts of this test are not what it needs"
    number = torch.arange(len(known))
    write_instructions(folder, KnownInstructions(vectors[: len(known)], number, (near + far) / 2))
    return folder


def test_a_foreign_instruction_is_refused_and_followed_only_on_request(ros_domain, judging):
    with running(judging) as watch:
        heard = {}

        def hear(message):
            for status in message.status:
                heard.update({(status.name, pair.key): pair.value for pair in status.values})

        watch.robot.create_subscription(DiagnosticArray, "/diagnostics", hear, qos.DIAGNOSTICS)
        wait_for(lambda: watch.status.task == TASKS[0], 5.0, "the first task")
        assert watch.status.task_familiarity == 1.0  # told in the training's own words
        answer = watch.task(FAR)
        assert not answer.success and "is unlike every instruction of the training" in answer.message
        assert f"the task is still {TASKS[0]!r}" in answer.message
        assert sorted(answer.known_tasks) == sorted(TASKS) and answer.known_tasks[0] in answer.message
        answer = watch.task(NEAR)
        assert answer.success and "in other words than the training's" in answer.message
        wait_for(lambda: watch.status.task == NEAR and watch.status.known_task, 5.0, "the status")
        near = watch.status.task_familiarity
        assert 0.0 < near < 1.0
        key = ("policy: task", "familiarity")
        wait_for(
            lambda: f"similarity {near:.2f}" in heard.get(key, ""), 5.0, "its familiarity on /diagnostics"
        )
        watch.node.set_parameters([Parameter("unknown_tasks", value="warn")])
        answer = watch.task(FAR)
        assert answer.success and "unlike every instruction of the training" in answer.message
        wait_for(lambda: watch.status.task == FAR and not watch.status.known_task, 5.0, "the status")
        assert watch.status.task_familiarity < near


@pytest.fixture(scope="module")
def taught(checkpoint, tmp_path_factory):
    """A copy of the small robot's checkpoint that understands its tasks in other words."""
    folder = tmp_path_factory.mktemp("taught") / "tiny"
    shutil.copytree(checkpoint, folder)
    fit_wordings({task: (task, f"kindly {task} thing") for task in TASKS}).write(folder)
    return folder


def test_the_policy_is_given_the_instruction_that_was_meant(ros_domain, taught):
    said = f"Could you please kindly {TASKS[1]} thing?"
    with running(taught, task=f"please, {TASKS[0]}!") as watch:
        wait_for(lambda: watch.status.task == TASKS[0], 5.0, "the parameter's instruction, as it is meant")
        predict, read = watch.policy.predict, list[str]()

        def watched(images, state, task, *arguments, **options):
            read.append(task)
            return predict(images, state, task, *arguments, **options)

        watch.policy.predict = watched
        answer = watch.task(said)
        assert answer.success and f"the task is now {TASKS[1]!r} (said as {said!r}" in answer.message
        wait_for(lambda: watch.status.task == TASKS[1] and watch.status.known_task, 5.0, "the status")
        assert 0.5 < watch.status.task_familiarity <= 1.0
        epoch = watch.status.plans
        answer = watch.task(f"kindly {TASKS[1]} thing")
        assert answer.success and "already" in answer.message, "the same meaning keeps the chunks"
        answer = watch.task(f"never {TASKS[0]}")
        assert not answer.success and "no wording of the training has 'never'" in answer.message
        assert answer.known_tasks[0] == TASKS[0], "the likeliest first"
        wait_for(lambda: watch.status.plans > epoch, 10.0, "it goes on")
        assert watch.status.task == TASKS[1]
        assert read and set(read) <= set(TASKS), "the network reads the known instructions alone"


@pytest.mark.slow
def test_a_foreign_first_instruction_ends_configure(ros_domain, judging, capfd):
    with running(judging, activate=False, task=TASKS[0]) as watch:
        watch.node.trigger_cleanup()
        watch.node.set_parameters([Parameter("task", value=FAR)])
        watch.node.trigger_configure()
        assert state(watch.node) == "unconfigured"
        assert f"'{FAR}' is unlike every instruction of the training" in capfd.readouterr().err
