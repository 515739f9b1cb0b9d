# SPDX-License-Identifier: Apache-2.0
"""The simulator's cameras: a thread renders and publishes snapshots of the scene."""

import threading
import traceback
from collections.abc import Sequence

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.ros.sim._messages import camera_info_message, image_message
from dit_policy_ros.sim.robot import Model, Renderer, focal_length

# Reliable, so that tools with default settings receive images, too. The policy subscribes best effort.
_QOS = QoSProfile(depth=5)
START_TIMEOUT = 60.0  # [s] for OpenGL to make a renderer
JOIN_TIMEOUT = 10.0  # [s] for the present frame
_STUCK = 2.0  # [s] longest wait for the renderer


class CameraThread:
    """Publishes <camera>/image_raw and <camera>/camera_info for each snapshot.

    Only the newest snapshot is kept: when rendering is slower than the camera rate, older ones are dropped
    and counted, so that images are always recent. With ``waits`` the simulation waits for the renderer
    instead. All cameras of a snapshot have the same stamp.
    """

    def __init__(
        self,
        node: Node,
        model: Model,
        cameras: Sequence[str],
        width: int,
        height: int,
        *,
        waits: bool = False,
    ) -> None:
        """Raises SimulationError if rendering does not work or a camera is unknown."""
        self._node = node
        self._model = model
        self._size, self._waits = (width, height), waits
        self._cameras = tuple(cameras)
        self._images = {c: node.create_publisher(Image, f"{c}/image_raw", _QOS) for c in self._cameras}
        self._infos = {c: node.create_publisher(CameraInfo, f"{c}/camera_info", _QOS) for c in self._cameras}
        self._focal_lengths = {c: focal_length(model, c, height) for c in self._cameras}
        self._change = threading.Condition()
        self._snapshot: tuple[int, np.ndarray] | None = None
        self._is_stopping = False
        self.dropped = 0
        self.published = 0
        self._failure: Exception | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cameras", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT):
            raise SimulationError(f"OpenGL hangs: no renderer within {START_TIMEOUT:g} s; see MUJOCO_GL")
        if self._failure is not None:
            raise self._failure

    @property
    def alive(self) -> bool:
        """Whether frames are still rendered."""
        return self._thread.is_alive()

    def submit(self, time_ns: int, qpos: np.ndarray) -> None:
        """Submit a snapshot: its time [ns] and all coordinates of the scene (nq,)."""
        with self._change:
            if self._waits:
                self._change.wait_for(lambda: self._is_stopping or self._snapshot is None, _STUCK)
            if self._snapshot is not None:
                self.dropped += 1
            self._snapshot = (time_ns, qpos)
            self._change.notify()

    def stop(self) -> None:
        """End the thread after the present frame. Raises SimulationError if it does not end in time."""
        with self._change:
            self._is_stopping = True
            self._change.notify()
        self._thread.join(JOIN_TIMEOUT)
        if self._thread.is_alive():
            raise SimulationError(f"the camera thread has not ended within {JOIN_TIMEOUT:g} s: OpenGL hangs")

    def _run(self) -> None:
        # OpenGL: this thread must create, use and close the renderer.
        try:
            renderer = Renderer(self._model, *self._size)
        except Exception as error:  # noqa: BLE001 - the constructor raises it again
            self._failure = error
            return
        finally:
            self._ready.set()
        with renderer:
            try:
                while (snapshot := self._next()) is not None:
                    self._publish(renderer, *snapshot)
            except Exception:  # noqa: BLE001 - a thread must not die silently
                self._node.get_logger().fatal(f"the cameras stopped:\n{traceback.format_exc()}")

    def _next(self) -> tuple[int, np.ndarray] | None:
        with self._change:
            self._change.wait_for(lambda: self._is_stopping or self._snapshot is not None)
            snapshot, self._snapshot = self._snapshot, None
            self._change.notify()
            return None if self._is_stopping else snapshot

    def _publish(self, renderer: Renderer, time_ns: int, qpos: np.ndarray) -> None:
        width, height = self._size
        for camera in self._cameras:
            image = renderer.render(qpos, (camera,))[camera]  # (H, W, 3)
            self._images[camera].publish(image_message(time_ns, camera, image))
            focal = self._focal_lengths[camera]
            self._infos[camera].publish(camera_info_message(time_ns, camera, width, height, focal))
        self.published += 1
