# SPDX-License-Identifier: Apache-2.0
"""Random scenes with images, for training a vision encoder."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.sim.robot import ArmKinematics, BimanualSim


@dataclass(frozen=True, slots=True)
class Scene:
    """One random still: images uint8 (H, W, 3) RGB, state (14,), cubes (3, 3) x, y, yaw, tcps (2, 3) [m]."""

    images: dict[str, np.ndarray]
    state: np.ndarray
    cubes: np.ndarray
    tcps: np.ndarray


def sample_scenes(
    sim: BimanualSim, count: int, seed: int = 0, cameras: tuple[str, ...] = ("top",)
) -> Iterator[Scene]:
    """Yields random scenes: cubes anywhere, and each arm at home or reaching over the workspace.

    The arms are placed by inverse kinematics without simulating, so some may cross; as a pretext task for
    an image encoder (regress `cubes` from the images) that does no harm.
    """
    rng = np.random.default_rng(seed)
    arms = {side: ArmKinematics(side) for side in ("left", "right")}
    for _ in range(count):
        sim.reset(seed=int(rng.integers(2**31)), arm_jitter=0.1)
        pose = sim.joint_positions  # (14,)
        reaching = rng.choice(["none", "left", "right"], p=[0.2, 0.4, 0.4])
        if reaching != "none":
            target = np.append(rng.uniform(-0.15, 0.15, size=2), rng.uniform(0.04, 0.22))  # [m]
            first = 0 if reaching == "left" else 7
            pose[first : first + 6] = arms[str(reaching)].solve(
                pose[first : first + 6], target, iterations=15
            )
        sim.place(pose)
        tcps = np.stack([sim.tcp("left"), sim.tcp("right")])  # (2, 3)
        yield Scene(sim.render(*cameras), sim.joint_positions, sim.cube_poses(), tcps)
