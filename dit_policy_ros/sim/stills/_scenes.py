# SPDX-License-Identifier: Apache-2.0
"""Random scenes with images, for training a vision encoder."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.sim.robot import ArmKinematics, BimanualSim, arm_slice


@dataclass(frozen=True, slots=True)
class Scene:
    """One still: images uint8 (H, W, 3) RGB, state (14,), cubes (3, 3) x, y, yaw, tcps (2, 3) [m]."""

    images: dict[str, np.ndarray]
    state: np.ndarray
    cubes: np.ndarray
    tcps: np.ndarray


def sample_scenes(
    sim: BimanualSim, count: int, seed: int = 0, cameras: tuple[str, ...] = ("top",)
) -> Iterator[Scene]:
    """Yields random scenes: cubes anywhere, and at most one arm reaching over the workspace.

    The arms are placed by inverse kinematics without simulation, so an arm may be inside a cube. That does
    no harm when an image encoder learns to regress `cubes` from the images.
    """
    rng = np.random.default_rng(seed)
    arms = {side: ArmKinematics(side) for side in ("left", "right")}
    for _ in range(count):
        sim.reset(seed=int(rng.integers(2**31)), arm_jitter=0.1)
        pose = sim.joint_positions  # (14,)
        reaching = rng.choice(["none", "left", "right"], p=[0.2, 0.4, 0.4])
        if reaching != "none":
            target = np.append(rng.uniform(-0.15, 0.15, size=2), rng.uniform(0.04, 0.22))  # [m]
            arm = arm_slice(str(reaching))
            pose[arm] = arms[str(reaching)].solve(pose[arm], target, iterations=15)
        sim.place(pose)
        tcps = np.stack([sim.tcp("left"), sim.tcp("right")])  # (2, 3)
        yield Scene(sim.render(*cameras), sim.joint_positions, sim.cube_poses(), tcps)
