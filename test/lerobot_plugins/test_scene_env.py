# SPDX-License-Identifier: Apache-2.0
"""The simulated scene as LeRobot's environment: the scenes and outcomes of this project's own evaluation."""

import numpy as np
import pytest
from lerobot.envs.factory import make_env, make_env_config
from lerobot.envs.utils import env_to_policy_features, preprocess_observation

from dit_policy_ros.core.errors import TaskError
from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.robot import JOINTS, BimanualSim
from dit_policy_ros.sim.tasks import find_task, run_trial, suite
from lerobot_env_dit_policy_ros import DitPolicyRosEnvConfig, SceneEnv

TOUCH = "touch the red cube with the left arm"
SEED = 10_000


def test_lerobot_makes_it_by_its_type_with_the_features_of_the_robot():
    config = make_env_config("dit_policy_ros", task=TOUCH, camera_names=["top"], observation_height=48)
    features = env_to_policy_features(config)
    assert {name: feature.shape for name, feature in features.items()} == {
        "action": (14,),
        "observation.state": (14,),
        "observation.images.top": (3, 48, 320),
    }


def test_without_a_task_there_is_an_environment_for_each():
    made = make_env(DitPolicyRosEnvConfig())["dit_policy_ros"]
    assert [env.call("task")[0] for env in made.values()] == [task.instruction for task in suite()]
    two = make_env(DitPolicyRosEnvConfig(task=f"{TOUCH}, push the red cube to the left zone"))
    assert len(two["dit_policy_ros"]) == 2
    with pytest.raises(TaskError, match="juggle"):
        make_env(DitPolicyRosEnvConfig(task="juggle"))


def test_actions_do_in_a_scene_what_they_do_in_our_evaluation():
    """The operator's targets, replayed in the environment of the same seed, have the same outcome."""
    task, targets = find_task(TOUCH), []
    with BimanualSim(SEED) as sim:
        sim.reset(seed=SEED, arm_jitter=0.05)
        states = [np.array(sim.joint_positions)]
        operator = Operator(np.random.default_rng(0))
        operator.begin(sim, task)

        def act(sim: BimanualSim) -> np.ndarray:
            targets.append(operator.act(sim))
            return targets[-1]

        outcome = run_trial(sim, task, act)
        states.append(np.array(sim.joint_positions))
    assert outcome.success
    env = SceneEnv(TOUCH, (), 48, 64, 30.0)
    first, info = env.reset(seed=SEED)
    np.testing.assert_array_equal(first["agent_pos"], states[0])
    assert not info["is_success"]
    results = [env.step(target) for target in targets]
    np.testing.assert_array_equal(results[-1][0]["agent_pos"], states[-1])
    assert [(done, info["is_success"]) for _, _, done, _, info in results[-2:]] == [
        (False, False),
        (True, True),
    ]
    assert results[-1][1] == 1.0 and not any(over for *_, over, _ in results)


def test_an_episode_ends_with_the_tasks_time_and_the_vector_says_so():
    config = DitPolicyRosEnvConfig(task=TOUCH, camera_names=[], fps=1)
    env = make_env(config, n_envs=1)["dit_policy_ros"][0]
    assert env.call("_max_episode_steps")[0] == 8
    observation, _ = env.reset(seed=[SEED])
    pose = np.array(observation["agent_pos"])
    for _ in range(8):
        observation, _, terminated, truncated, info = env.step(pose)
    assert truncated[0] and not terminated[0]
    assert not info["final_info"]["is_success"][0]
    assert observation["agent_pos"].shape == (1, len(JOINTS))
    env.close()


@pytest.mark.slow  # a renderer
def test_images_are_what_the_cameras_see():
    env = SceneEnv(TOUCH, ("top",), 48, 64, 30.0)
    observation, _ = env.reset(seed=SEED)
    image = observation["pixels"]["top"]
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8 and image.std() > 5
    np.testing.assert_array_equal(env.render(), image)
    batch = {"agent_pos": observation["agent_pos"][None], "pixels": {"top": image[None]}}
    assert set(preprocess_observation(batch)) == {"observation.state", "observation.images.top"}
    env.close()


def test_what_is_no_number_is_refused():
    env = SceneEnv(TOUCH, (), 48, 64, 30.0)
    with pytest.raises(ValueError, match="before reset"):
        env.step(np.zeros(14))
    env.reset(seed=SEED)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.full(14, np.nan))
