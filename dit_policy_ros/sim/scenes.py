# SPDX-License-Identifier: Apache-2.0
"""Random cube poses, and random scenes with images for training a vision encoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dit_policy_ros.core.errors import SimulationError

if TYPE_CHECKING:
    from dit_policy_ros.sim.robot import BimanualSim

CUBES = ("red", "green", "blue")
CUBE_EDGE = 0.04  # [m]
WORKSPACE = 0.115  # [m], cube centres lie within +-WORKSPACE in x and y
MIN_SPACING = 0.078  # [m] between cube centres: a closed gripper comes down between neighbours
_ATTEMPTS = 2000


def sample_cubes(rng: np.random.Generator, keep_out: np.ndarray | None = None) -> np.ndarray:
    """Returns random cube poses (3, 3): x [m], y [m], yaw [rad] for red, green, blue.

    keep_out: (K, 2) points x, y [m] that no cube may be near, such as the grippers.
    Raises SimulationError when no arrangement is found.
    """
    avoid = np.empty((0, 2)) if keep_out is None else np.asarray(keep_out, dtype=float)  # (K, 2)
    for _ in range(_ATTEMPTS):
        xy = rng.uniform(-WORKSPACE, WORKSPACE, size=(len(CUBES), 2))  # (3, 2)
        others = np.concatenate([xy, avoid])  # (3 + K, 2)
        gaps = np.linalg.norm(xy[:, None] - others[None], axis=-1)  # (3, 3 + K)
        gaps[np.arange(len(CUBES)), np.arange(len(CUBES))] = np.inf
        if gaps.min() >= MIN_SPACING:
            yaw = rng.uniform(-np.pi / 4, np.pi / 4, size=(len(CUBES), 1))  # a square repeats every 90 deg
            return np.concatenate([xy, yaw], axis=1)
    raise SimulationError(f"found no cube poses that keep {MIN_SPACING} m apart; keep fewer points out")


@dataclass(frozen=True, slots=True)
class Scene:
    """One random still: images uint8 (H, W, 3) RGB, state (14,), cubes (3, 3) x, y, yaw, tcps (2, 3) [m]."""

    images: dict[str, np.ndarray]
    state: np.ndarray
    cubes: np.ndarray
    tcps: np.ndarray


def sample_scenes(
    sim: "BimanualSim", count: int, seed: int = 0, cameras: tuple[str, ...] = ("top",)
) -> Iterator[Scene]:
    """Yields random scenes: cubes anywhere, and each arm at home or reaching over the workspace.

    The arms are placed by inverse kinematics without simulating, so some may cross; as a pretext task for
    an image encoder (regress `cubes` from the images) that does no harm.
    """
    from dit_policy_ros.sim.kinematics import ArmKinematics

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
