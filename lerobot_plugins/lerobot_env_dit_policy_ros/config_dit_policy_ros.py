# SPDX-License-Identifier: Apache-2.0
"""The options of the simulated scene as LeRobot's environment."""

import functools
from dataclasses import dataclass, field
from typing import Any

import gymnasium
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.envs.utils import _LazyAsyncVectorEnv, freeze_after_episode_end

_JOINTS = 14


@EnvConfig.register_subclass("dit_policy_ros")
@dataclass
class DitPolicyRosEnvConfig(EnvConfig):
    """``--env.type=dit_policy_ros --env.task="lift the red cube with the left arm"``.

    Attributes:
        task: the instruction, or several with commas between them; None for all of the scene.
        camera_names: cameras to observe.
        observation_height, observation_width: of their images [pixel].
    """

    task: str | None = None
    camera_names: list[str] = field(default_factory=lambda: ["top", "left_wrist", "right_wrist"])
    observation_height: int = 240
    observation_width: int = 320

    def __post_init__(self) -> None:
        """Say what observations and actions are, by LeRobot's names."""
        joints = {"action": FeatureType.ACTION, "agent_pos": FeatureType.STATE}
        for key, kind in joints.items():
            self.features.setdefault(key, PolicyFeature(type=kind, shape=(_JOINTS,)))
            self.features_map.setdefault(key, "action" if key == "action" else "observation.state")
        shape = self.observation_height, self.observation_width, 3
        for name in self.camera_names:
            key = f"observation.images.{name}"
            self.features.setdefault(key, PolicyFeature(type=FeatureType.VISUAL, shape=shape))
            self.features_map.setdefault(key, key)

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """The options of ``SceneEnv``, without its task."""
        return {
            "cameras": tuple(self.camera_names),
            "height": self.observation_height,
            "width": self.observation_width,
            "fps": float(self.fps),
        }

    def create_envs(self, n_envs: int, use_async_envs: bool = False) -> dict[str, dict[int, Any]]:
        """An environment per task, each ``n_envs`` times at once. Raises TaskError for an unknown task."""
        from dit_policy_ros.sim.tasks import find_task, suite
        from lerobot_env_dit_policy_ros.scene_env import SceneEnv

        names = [name.strip() for name in (self.task or "").split(",") if name.strip()]
        tasks = [find_task(name) for name in names] if names else list(suite())
        makers = [functools.partial(SceneEnv, task.instruction, **self.gym_kwargs) for task in tasks]
        if use_async_envs and n_envs > 1:
            # Its processes start with the first episode, so that those of one task run at a time.
            return {self.type: {i: _LazyAsyncVectorEnv([make] * n_envs) for i, make in enumerate(makers)}}
        mode = gymnasium.vector.AutoresetMode.SAME_STEP
        return {
            self.type: {
                i: gymnasium.vector.SyncVectorEnv(
                    [freeze_after_episode_end(make)] * n_envs, autoreset_mode=mode
                )
                for i, make in enumerate(makers)
            }
        }
