# SPDX-License-Identifier: Apache-2.0
"""The simulator's cameras: a thread renders and publishes snapshots of the scene."""

import threading
import traceback
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.ros.sim._messages import (
    camera_info_message,
    compressed_message,
    depth_message,
    image_message,
)
from dit_policy_ros.sim.robot import Model, Renderer, camera_id, focal_length

# Reliable, so that tools with default settings receive images, too. The policy subscribes best effort.
_QOS = QoSProfile(depth=5)
START_TIMEOUT = 60.0  # [s] for OpenGL to make a renderer
JOIN_TIMEOUT = 10.0  # [s] for the present frame
_STUCK = 2.0  # [s] longest wait for the renderer


@dataclass(frozen=True, slots=True)
class SimulatedCamera:
    """A camera as it is published.

    name: of its frame. source: its name in the model. topic: of its images; camera_info is beside it. width,
    height [pixel]. rate [Hz]. compressed: images are sensor_msgs/CompressedImage. depth_unit: of distances,
    "mm" or "m"; empty for colour.
    """

    name: str
    source: str
    topic: str
    width: int
    height: int
    rate: float
    compressed: bool = False
    depth_unit: str = ""

    @property
    def info_topic(self) -> str:
        """camera_info is in the namespace of the images."""
        path = self.topic.removesuffix("/compressed") if self.compressed else self.topic
        namespace, slash, _ = path.rpartition("/")
        return f"{namespace}{slash}camera_info"


class CameraThread:
    """Publishes the images and the camera_info of each camera of each snapshot.

    Only the newest snapshot is kept: when rendering is slower than the camera rate, older ones are dropped
    and counted, so that images are always recent. With ``waits`` the simulation waits for the renderer
    instead. All cameras of a snapshot have the same stamp.
    """

    def __init__(
        self, node: Node, model: Model, cameras: Sequence[SimulatedCamera], *, waits: bool = False
    ) -> None:
        """Raises SimulationError if rendering does not work or a camera is unknown."""
        self._node = node
        self._model = model
        self._waits = waits
        self._cameras = {camera.name: camera for camera in cameras}
        for camera in cameras:
            camera_id(model, camera.source)
        self._images: dict[str, Any] = {
            c.name: node.create_publisher(CompressedImage if c.compressed else Image, c.topic, _QOS)
            for c in cameras
        }
        self._infos = {c.name: node.create_publisher(CameraInfo, c.info_topic, _QOS) for c in cameras}
        self._focal_lengths = {c.name: focal_length(model, c.source, c.height) for c in cameras}
        self._change = threading.Condition()
        self._snapshot: tuple[int, np.ndarray] | None = None
        self._asked: set[str] = set()  # cameras of the snapshot, and of those that it replaced
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

    def submit(self, time_ns: int, qpos: np.ndarray, cameras: Collection[str]) -> None:
        """Submit a snapshot: its time [ns], all coordinates of the scene (nq,), and the cameras to show."""
        with self._change:
            if self._waits:
                self._change.wait_for(lambda: self._is_stopping or self._snapshot is None, _STUCK)
            if self._snapshot is not None:
                self.dropped += 1
            self._snapshot = (time_ns, qpos)
            self._asked |= set(cameras)
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
        # OpenGL: this thread must create, use and close the renderers. One renders one size.
        with ExitStack() as stack:
            try:
                sizes = {(camera.width, camera.height) for camera in self._cameras.values()}
                renderers = {size: stack.enter_context(Renderer(self._model, *size)) for size in sizes}
            except Exception as error:  # noqa: BLE001 - the constructor raises it again
                self._failure = error
                return
            finally:
                self._ready.set()
            try:
                while (snapshot := self._next()) is not None:
                    self._publish(renderers, *snapshot)
            except Exception:  # noqa: BLE001 - a thread must not die silently
                self._node.get_logger().fatal(f"the cameras stopped:\n{traceback.format_exc()}")

    def _next(self) -> tuple[int, np.ndarray, set[str]] | None:
        with self._change:
            self._change.wait_for(lambda: self._is_stopping or self._snapshot is not None)
            snapshot, self._snapshot = self._snapshot, None
            asked, self._asked = self._asked, set()
            self._change.notify()
            return None if self._is_stopping or snapshot is None else (*snapshot, asked)

    def _publish(
        self, renderers: dict[tuple[int, int], Renderer], time_ns: int, qpos: np.ndarray, asked: set[str]
    ) -> None:
        for name, camera in self._cameras.items():
            if name not in asked:
                continue
            size = camera.width, camera.height
            if camera.depth_unit:
                distances = renderers[size].render_depth(qpos, camera.source)  # (H, W)
                message = depth_message(time_ns, name, distances, camera.depth_unit, camera.compressed)
            else:
                image = renderers[size].render(qpos, (camera.source,))[camera.source]  # (H, W, 3)
                message = (compressed_message if camera.compressed else image_message)(time_ns, name, image)
            self._images[name].publish(message)
            focal = self._focal_lengths[name]
            self._infos[name].publish(camera_info_message(time_ns, name, *size, focal))
        self.published += 1
