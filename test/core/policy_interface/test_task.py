# SPDX-License-Identifier: Apache-2.0
import pytest

from dit_policy_ros.core.errors import TaskError
from dit_policy_ros.core.policy_interface import check_task
from dit_policy_ros.core.policy_interface._task import MAX_TASK_CHARACTERS


def test_an_instruction_up_to_the_limit_is_accepted():
    check_task("x" * MAX_TASK_CHARACTERS)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("", "an empty string"),
        (" \n", "only blanks"),
        ("x" * 1001, "1000 characters, got 1001"),
        (7, "got int"),
    ],
)
def test_an_invalid_instruction_is_refused_with_the_known_ones(task, message):
    with pytest.raises(TaskError, match=message) as caught:
        check_task(task, ["lift the cube"])
    assert "known tasks: 'lift the cube'" in str(caught.value)
