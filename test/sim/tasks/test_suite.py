# SPDX-License-Identifier: Apache-2.0
"""The task suite: what was done is what was asked, and nothing is done by chance or by standing still."""

from collections.abc import Iterator

import numpy as np
import pytest

from dit_policy_ros.core.errors import SimulationError, TaskError
from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.operator._hand import CLOSED, OPEN, Hand, Pose, down
from dit_policy_ros.sim.operator._skills import hand_over, lift
from dit_policy_ros.sim.robot import CUBES, HOME, BimanualSim
from dit_policy_ros.sim.tasks import (
    HandOver,
    Judge,
    Lift,
    Outcome,
    Push,
    Task,
    Touch,
    find_task,
    run_trial,
    scene_state,
    suite,
)
from dit_policy_ros.sim.tasks._judge import Cube

APART = np.array([[0.0, 0.0, 0.3], [0.09, 0.09, 0.0], [-0.09, -0.09, -0.5]])  # x [m], y [m], yaw [rad]


@pytest.fixture(scope="module")
def sim() -> BimanualSim:
    return BimanualSim(0)


def operated(sim: BimanualSim, task: Task, seed: int) -> Outcome:
    """The trial of a task by the scripted operator, and every task that was done."""
    sim.reset(seed=seed)
    operator = Operator(np.random.default_rng(seed))
    operator.begin(sim, task)
    return run_trial(sim, task, operator.act, others=suite())


def red(sim: BimanualSim) -> Cube:
    return scene_state(sim).cubes["red"]


def test_the_suite_names_every_task_once() -> None:
    instructions = [task.instruction for task in suite()]
    assert len(instructions) == len(set(instructions)) == 6 + 6 + 3 + 6
    for task in suite():
        assert find_task(task.instruction) == task and task.time_limit > 0 and task.success
    with pytest.raises(
        TaskError, match=r"(?s)Did you mean 'lift the red cube with the left arm'.*push the blue"
    ):
        find_task("lift the red cube with the left hand")


@pytest.mark.parametrize("number", range(21), ids=[task.instruction for task in suite()])
def test_the_operator_does_its_task_and_nothing_else(sim: BimanualSim, number: int) -> None:
    task = suite()[number]
    outcome = operated(sim, task, seed=100 + number)
    done = set(outcome.did)
    assert outcome.success and task.instruction in done and outcome.seconds < task.time_limit
    implied = {f"touch the {task.colour} cube with the {side} arm" for side in ("left", "right")}
    if isinstance(task, HandOver):  # each arm lifts it in between
        implied |= {f"lift the {task.colour} cube with the {side} arm" for side in ("left", "right")}
    if isinstance(task, Push):  # other cubes in the lane are pushed along, and may end in the zone, too
        done = {each for each in done if not each.startswith(("touch", "push"))}
    elif isinstance(task, Touch):
        done = {each for each in done if not each.startswith("touch")}
    assert done <= implied | {task.instruction}


@pytest.mark.slow
@pytest.mark.parametrize("family", [Touch, Lift, HandOver, Push])
def test_the_operator_hardly_ever_fails(sim: BimanualSim, family: type) -> None:
    tasks = [task for task in suite() if isinstance(task, family)]
    assert sum(operated(sim, tasks[seed % len(tasks)], seed).success for seed in range(60)) >= 57


def watched(sim: BimanualSim, act, seconds: float) -> set[str]:
    """Every task that is done by acting without a task."""
    judges = [Judge(each) for each in suite()]
    for _ in range(round(seconds * 30)):
        sim.step_towards(np.clip(act(sim), sim.lower, sim.upper), 17)
        for judge in judges:
            judge.observe(scene_state(sim))
    return {judge.task.instruction for judge in judges if judge.done}


def test_standing_still_does_nothing(sim: BimanualSim) -> None:
    sim.reset(seed=1)
    assert watched(sim, lambda sim: HOME, 25.0) == set()


def test_moving_at_random_does_nothing(sim: BimanualSim) -> None:
    rng, scale = np.random.default_rng(0), np.tile([0.3] * 6 + [0.02], 2)
    for seed in range(3):
        sim.reset(seed=seed)
        assert watched(sim, lambda sim: HOME + scale * rng.normal(size=14), 8.0) == set()


def perform(sim: BimanualSim, hands: list[Hand], moves, judges: list[Judge]) -> None:
    """Run one skill to its end while judges watch."""
    for _ in moves:
        for hand in hands:
            hand.advance()
        target = sim.command
        for hand in hands:
            first = 0 if hand.side == "left" else 7
            target[first : first + 7] = hand.target
        for _ in range(3):
            sim.step_towards(target, 6)
            for judge in judges:
                judge.observe(scene_state(sim))


def begin(sim: BimanualSim, *sides: str) -> list[Hand]:
    sim.reset(seed=0, cubes=APART)
    return [Hand(side, np.random.default_rng(0)) for side in sides]


def test_a_lift_counts_after_half_a_second_in_the_air_by_the_named_arm_alone(sim: BimanualSim) -> None:
    (hand,) = begin(sim, "left")
    right_arm, judge = Judge(Lift("right", "red")), Judge(Lift("left", "red"))
    perform(sim, [hand], lift(sim, hand, "red"), [right_arm])
    assert red(sim).height > 0.05 and red(sim).touched_by == {"left"}
    perform(sim, [hand], hand.wait(0.3), [judge, right_arm])
    assert not judge.done, "not yet for half a second"
    perform(sim, [hand], hand.wait(0.3), [judge, right_arm])
    assert judge.done and not right_arm.done
    perform(sim, [hand], hand.grip(OPEN), [judge])
    assert judge.done, "what was done stays done"


def test_a_cube_that_is_thrown_or_low_is_not_lifted(sim: BimanualSim) -> None:
    (hand,) = begin(sim, "left")
    judge = Judge(Lift("left", "red"))
    grasp = Pose(sim.cube_position("red"), down(0.3))
    for moves in (hand.grip(OPEN), hand.move(grasp.shifted(0, 0, 0.08)), hand.move(grasp), hand.grip(CLOSED)):
        perform(sim, [hand], moves, [judge])
    perform(sim, [hand], hand.move(grasp.shifted(0, 0, 0.03)), [judge])
    perform(sim, [hand], hand.wait(1.0), [judge])
    assert red(sim).touched_by == {"left"} and not judge.done, "three centimetres are not enough"
    perform(sim, [hand], hand.move(grasp.shifted(0, 0, 0.1)), [])
    assert red(sim).height > 0.05
    perform(sim, [hand], hand.grip(OPEN), [judge])
    perform(sim, [hand], hand.wait(1.0), [judge])
    assert not judge.done, "let go too early"


def test_a_cube_that_touches_the_table_between_the_arms_was_not_handed_over(sim: BimanualSim) -> None:
    right, left = begin(sim, "right", "left")
    judge = Judge(HandOver("red"))
    perform(sim, [right, left], lift(sim, right, "red"), [judge])
    for moves in (
        right.move(right.pose.shifted(0, 0, -0.118)),
        right.grip(OPEN),
        right.wait(0.3),
        right.rest(),
    ):
        perform(sim, [right, left], moves, [judge])
    perform(sim, [right, left], lift(sim, left, "red"), [judge])
    perform(sim, [right, left], left.wait(1.0), [judge])
    assert red(sim).touched_by == {"left"} and red(sim).height > 0.05 and not judge.done


def test_a_cube_that_was_carried_into_the_zone_was_not_pushed(sim: BimanualSim) -> None:
    (hand,) = begin(sim, "right")
    carried, never = Judge(Push("red", "left")), Judge(Push("red", "right"))
    judges = [carried, never]
    perform(sim, [hand], lift(sim, hand, "red"), judges)
    over = Pose(np.array([0.0, 0.145, 0.14]), hand.pose.orientation)
    for moves in (hand.move(over), hand.move(over.shifted(0, 0, -0.115)), hand.grip(OPEN), hand.wait(0.8)):
        perform(sim, [hand], moves, judges)
    assert red(sim).in_zone("left") and not carried.done and not never.done


def test_a_cube_that_lies_in_a_zone_counts_once_it_rests(sim: BimanualSim) -> None:
    sim.reset(seed=0, cubes=np.array([[0.0, 0.124, 0.0], [0.0, 0.0, 0.0], [0.0, -0.19, 0.0]]))
    judges = {task: Judge(task) for task in suite() if isinstance(task, Push)}
    for _ in range(40):
        sim.step(6)
        for judge in judges.values():
            judge.observe(scene_state(sim))
    assert not any(judge.done for judge in judges.values()), "one stops short of its zone, one lies beyond it"
    sim.place_cubes(np.array([[0.0, 0.13, 0.0], [0.0, 0.0, 0.0], [0.0, -0.17, 0.0]]))
    for _ in range(40):
        sim.step(6)
        for judge in judges.values():
            judge.observe(scene_state(sim))
    done = {task for task, judge in judges.items() if judge.done}
    assert done == {Push(CUBES[0], "left"), Push(CUBES[2], "right")}


def snatching(sim: BimanualSim, moves, when) -> Iterator[None]:
    """The same moves; once, in the middle of them, the red cube is put back to its first place."""
    snatched = False
    for _ in moves:
        if not snatched and when():
            cubes = sim.cube_poses()
            cubes[0] = (-0.03, 0.05, 0.2)
            sim.place_cubes(cubes)
            snatched = True
        yield
    assert snatched


def test_a_missed_grasp_is_tried_again(sim: BimanualSim) -> None:
    (hand,) = begin(sim, "left")
    low = lambda: sim.tcp("left")[2] < 0.025  # noqa: E731
    perform(sim, [hand], snatching(sim, lift(sim, hand, "red"), low), [])
    assert red(sim).height > 0.05 and red(sim).touched_by == {"left"}


def test_a_cube_that_is_lost_between_the_hands_is_handed_over_again(sim: BimanualSim) -> None:
    right, left = begin(sim, "right", "left")
    judge = Judge(HandOver("red"))
    near = lambda: np.linalg.norm(sim.tcp("left") - sim.cube_position("red")) < 0.04  # noqa: E731
    moves = snatching(sim, hand_over(sim, right, left, "red"), near)
    perform(sim, [right, left], moves, [judge])
    perform(sim, [right, left], left.wait(0.6), [judge])
    assert judge.done and red(sim).touched_by == {"left"}


def test_an_operator_without_a_task_is_a_mistake(sim: BimanualSim) -> None:
    with pytest.raises(SimulationError, match="begin"):
        Operator(np.random.default_rng(0)).act(sim)


def test_the_same_seed_gives_the_same_demonstration(sim: BimanualSim) -> None:
    paths = []
    for seed in (3, 3, 4):
        sim.reset(seed=7)
        operator, targets = Operator(np.random.default_rng(seed)), []
        operator.begin(sim, Lift("left", "red"))
        for _ in range(60):
            target = operator.act(sim)
            targets.append(target)
            sim.step_towards(target, 17)
        paths.append(np.array(targets))
    assert np.array_equal(paths[0], paths[1]) and not np.array_equal(paths[0], paths[2])
