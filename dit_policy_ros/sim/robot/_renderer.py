# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Off-screen rendering of the scene's cameras, without a display and without a GPU."""

import ctypes.util
import os
from typing import Any

import mujoco
import numpy as np

from dit_policy_ros.core.errors import SimulationError

# A mujoco.MjModel. ros/ passes it on without importing mujoco.
type Model = Any

_REMEDY = (
    "install one of the Debian packages libegl1 (with libgl1-mesa-dri, preferred) or libosmesa6, "
    "for example: apt-get install libegl1 libgl1-mesa-dri"
)
_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
_MAX_GEOMS = 400


def choose_backend() -> str:
    """Returns "egl" or "osmesa": the one that MUJOCO_GL names, else the first that is installed.

    Raises SimulationError when neither library is installed or MUJOCO_GL names another backend.
    """
    asked = os.environ.get("MUJOCO_GL", "").strip().lower()
    if asked and asked not in _LIBRARIES:
        raise SimulationError(
            f"expected the environment variable MUJOCO_GL to be one of {sorted(_LIBRARIES)} or unset, "
            f"got '{asked}'; unset it to let the simulator choose"
        )
    for backend in [asked] if asked else list(_LIBRARIES):
        if ctypes.util.find_library(_LIBRARIES[backend]):
            return backend
    wanted = f"lib{_LIBRARIES[asked]} (MUJOCO_GL={asked})" if asked else "libEGL or libOSMesa"
    raise SimulationError(f"the simulator's cameras need {wanted}, which is not installed; {_REMEDY}")


def _make_context(width: int, height: int) -> Any:
    backend = choose_backend()
    try:
        if backend == "egl":
            from mujoco.egl import GLContext
        else:
            from mujoco.osmesa import GLContext
        context = GLContext(width, height)
        context.make_current()
    except Exception as error:  # PyOpenGL raises many types of errors
        raise SimulationError(
            f"the '{backend}' renderer does not start ({type(error).__name__}: {error}); {_REMEDY}; "
            "MUJOCO_GL=egl or MUJOCO_GL=osmesa chooses between them"
        ) from error
    return context


class Renderer:
    """Renders named cameras of one model from joint coordinates.

    An OpenGL context belongs to one thread: create, use and close a Renderer in the same thread.
    """

    def __init__(self, model: Model, width: int = 320, height: int = 240, *, shadows: bool = False) -> None:
        self._model = model
        self._width, self._height = width, height
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        self._data = mujoco.MjData(model)
        self._gl: Any = _make_context(width, height)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._viewport = mujoco.MjrRect(0, 0, width, height)
        self._scene = mujoco.MjvScene(model, maxgeom=max(_MAX_GEOMS, 2 * model.ngeom))
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._upside_down = np.empty((height, width, 3), dtype=np.uint8)  # (H, W, 3)

    def render(self, qpos: np.ndarray, cameras: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Returns {camera: uint8 (H, W, 3) RGB} of the scene at joint coordinates qpos (nq,).

        Raises SimulationError for an unknown camera, listing the model's.
        """
        self._pose(qpos)
        images: dict[str, np.ndarray] = {}
        for name in cameras:
            self._draw(name)
            mujoco.mjr_readPixels(self._upside_down, None, self._viewport, self._context)
            images[name] = self._upside_down[::-1].copy()  # (H, W, 3); OpenGL's first row is the bottom one
        return images

    def render_depth(self, qpos: np.ndarray, camera: str) -> np.ndarray:
        """Returns the distances (H, W) float32 [m] along a camera's axis at joint coordinates qpos (nq,)."""
        self._pose(qpos)
        self._draw(camera)
        # 1 at the near plane, 0 at the far one.
        buffer = np.empty((self._height, self._width), dtype=np.float32)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR.value
        mujoco.mjr_readPixels(None, buffer, self._viewport, self._context)
        extent, planes = self._model.stat.extent, self._model.vis.map
        near, far = planes.znear * extent, planes.zfar * extent  # [m]
        distances = near * far / (near + buffer.astype(np.float64) * (far - near))
        return distances[::-1].astype(np.float32)  # OpenGL's first row is the bottom one

    def _pose(self, qpos: np.ndarray) -> None:
        """Moves the scene to joint coordinates (nq,)."""
        if self._gl is None:
            raise ValueError("render() on a closed Renderer")
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._gl.make_current()

    def _draw(self, camera: str) -> None:
        """Draws what a camera sees."""
        self._camera.fixedcamid = camera_id(self._model, camera)
        mujoco.mjv_updateScene(
            self._model, self._data, self._option, None, self._camera,
            mujoco.mjtCatBit.mjCAT_ALL.value, self._scene,
        )  # fmt: skip
        mujoco.mjr_render(self._viewport, self._scene, self._context)

    def close(self) -> None:
        """Frees the OpenGL context; calling it again does nothing."""
        if self._gl is not None:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            self._gl = None

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def camera_id(model: Model, name: str) -> int:
    """Returns the index of a camera; raises SimulationError that lists the model's cameras."""
    index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, name)
    if index < 0:
        names = [model.camera(i).name for i in range(model.ncam)]
        raise SimulationError(f"unknown camera '{name}'; the scene has {names}")
    return index


def focal_length(model: Model, name: str, height: int) -> float:
    """Returns the focal length [pixel] of a camera rendered `height` pixels high; pixels are square."""
    fovy = np.deg2rad(model.cam_fovy[camera_id(model, name)])  # vertical field of view [rad]
    return float(height / (2.0 * np.tan(fovy / 2.0)))
