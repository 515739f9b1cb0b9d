# SPDX-License-Identifier: Apache-2.0
"""The simulated scene as a gymnasium environment: physics, cameras and policy take turns. No clock, no ROS.

The seed alone decides what happens, as in `dit_policy evaluate --lock-step`, whose scenes these are.
"""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from dit_policy_ros.sim.robot import JOINTS, BimanualSim
from dit_policy_ros.sim.tasks import Judge, find_task, move_for_period

ARM_JITTER = 0.05  # [rad] of the initial pose, as in this project's evaluation

Observation = dict[str, Any]


class SceneEnv(gymnasium.Env[Observation, NDArray[np.float64]]):
    """One task. Physics and cameras are made with the first ``reset``, which LeRobot calls where it steps.

    Observations: ``agent_pos`` (14,) [rad], [m], and ``pixels``, by camera uint8 (H, W, 3). Actions: joint
    targets (14,) for the next period. The reward is 1 when the task is done, else 0.

    Attributes:
        task: the instruction.
        task_description: the same; LeRobot asks for it by this name.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 30}
    render_mode = "rgb_array"

    def __init__(self, task: str, cameras: tuple[str, ...], height: int, width: int, fps: float) -> None:
        """Do not build the scene yet.

        Args:
            task: the instruction.
            cameras: to observe; the first one is rendered for videos.
            height: of the images [pixel].
            width: of the images [pixel].
            fps: actions per second of simulated time.

        Raises:
            TaskError: the scene has no such task.
        """
        self.task = self.task_description = task
        self._task, self._fps = find_task(task), fps
        self._cameras, self._size = cameras, (height, width)
        self._max_episode_steps = round(self._task.time_limit * fps)
        self._sim: BimanualSim | None = None
        self._judge, self._period, self._began_ns = Judge(self._task), 0, 0
        self._images: dict[str, NDArray[np.uint8]] = {}
        shape, joints = (height, width, 3), (len(JOINTS),)
        images = {name: spaces.Box(0, 255, shape, np.uint8) for name in cameras}
        self.observation_space = spaces.Dict(
            {
                "agent_pos": spaces.Box(-np.inf, np.inf, joints, np.float64),
                **({"pixels": spaces.Dict(images)} if images else {}),
            }
        )
        self.action_space = spaces.Box(-np.inf, np.inf, joints, np.float64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the scene of a seed; without one the next scene."""
        super().reset(seed=seed)
        if self._sim is None:
            height, width = self._size
            self._sim = BimanualSim(seed or 0, width=width, height=height)
        self._sim.reset(seed=seed, arm_jitter=ARM_JITTER)
        self._judge, self._period, self._began_ns = Judge(self._task), 0, self._sim.time_ns
        return self._observe(self._sim), {"is_success": False}

    def step(self, action: NDArray[np.float64]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Move for one period. Raises ValueError before ``reset``, or if the action is not finite."""
        sim = self._sim
        if sim is None:
            raise ValueError("step before reset")
        if not np.isfinite(action).all():
            raise ValueError(f"expected a finite action, got {np.asarray(action).tolist()}")
        target = np.asarray(action, np.float64)  # (14,)
        for state in move_for_period(sim, target, self._began_ns, self._period, self._fps):
            self._judge.observe(state)
        self._period += 1
        done = self._judge.done
        is_over = not done and self._period >= self._max_episode_steps
        return self._observe(sim), float(done), done, is_over, {"is_success": done}

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]  # gymnasium allows further kinds
        """The first camera's newest image (H, W, 3)."""
        if not self._images:
            raise ValueError("no cameras, or no scene yet")
        return self._images[self._cameras[0]].copy()

    def close(self) -> None:
        """Let go of the physics and the renderer."""
        if self._sim is not None:
            self._sim.close()
            self._sim = None

    def _observe(self, sim: BimanualSim) -> Observation:
        self._images = sim.render(*self._cameras) if self._cameras else {}
        observation: Observation = {"agent_pos": np.array(sim.joint_positions)}
        if self._images:
            observation["pixels"] = {name: image.copy() for name, image in self._images.items()}
        return observation
