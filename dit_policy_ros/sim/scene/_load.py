# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Loads the MJCF of a scene: a file, a ready one by name, or what a Python function returns."""

from pathlib import Path
from typing import Any

import mujoco

from dit_policy_ros.core.contract import find_urdf
from dit_policy_ros.core.errors import ContractError, SimulationError
from dit_policy_ros.core.problems import did_you_mean, listing
from dit_policy_ros.sim.robot import Model
from dit_policy_ros.sim.scene._entries import called, load_entry
from dit_policy_ros.sim.scene._ready import READY

LONGEST_STEP = 0.01  # [s] of physics; coarser steps make the controllers' interpolation useless


def load_model(scene: str) -> Model:
    """The model of a scene.

    Args:
        scene: name of a ready scene; path of an MJCF file (~ and package://NAME/FILE are understood); or
            "module:function" or "file.py:function", which returns an MjSpec, an MjModel or a path.

    Raises:
        SimulationError: it cannot be found, loaded or compiled.
    """
    model = _model(scene)
    if not 0.0 < model.opt.timestep <= LONGEST_STEP:
        raise SimulationError(
            f"scene {scene}: its physics step by {model.opt.timestep:g} s; expected at most {LONGEST_STEP:g} "
            's. Set <option timestep="0.002"/> in the MJCF'
        )
    return model


def _model(scene: str) -> Model:
    if scene in READY:
        return _compiled(scene, READY[scene]())
    try:
        path = find_urdf(scene)
    except ContractError as error:
        raise SimulationError(f"scene {error}") from error
    if not path.is_file() and ":" in scene:
        made = load_entry("scene", scene)
        if not callable(made):
            raise SimulationError(f"scene {scene}: expected a function that returns a model, got {made!r}")
        return _compiled(scene, called(f"scene {scene}", made))
    if not path.is_file():
        raise SimulationError(
            f"scene {scene}: there is no such file (looked for {path.absolute()}), and no ready scene has "
            f"that name.{did_you_mean(scene, READY)} Expected the path of an MJCF file, a Python function as "
            f"'module:function', or one of: {listing(READY)}"
        )
    return _compiled(scene, path)


def _compiled(scene: str, made: Any) -> Model:
    if isinstance(made, mujoco.MjModel):
        return made
    try:
        if isinstance(made, mujoco.MjSpec):
            return made.compile()
        if isinstance(made, str | Path):
            return mujoco.MjModel.from_xml_path(str(made))
    except ValueError as error:
        raise SimulationError(f"scene {scene} is not an MJCF that MuJoCo can load: {error}") from error
    raise SimulationError(
        f"scene {scene}: the function returned {type(made).__name__}; expected a mujoco.MjSpec, a "
        "mujoco.MjModel or the path of an MJCF file"
    )
