# SPDX-License-Identifier: Apache-2.0
"""The simulator's cameras: a thread that renders and publishes snapshots of the scene."""

import threading
import traceback
from collections.abc import Sequence

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from dit_policy_ros.ros.sim._messages import camera_info_message, image_message
from dit_policy_ros.sim.robot import Model, Renderer, focal_length

# Reliable, so that tools with default settings see the pictures too; the policy subscribes best effort.
_QOS = QoSProfile(depth=5)
_STUCK = 2.0  # [s] after which nobody waits for the renderer


class CameraThread:
    """Publishes <camera>/image_raw and <camera>/camera_info for every snapshot it is handed.

    Only the newest snapshot waits: when rendering is slower than the cameras' rate, frames are dropped and
    counted, and what is published is always recent. A simulation that makes its own time ``waits`` instead.
    All cameras of a snapshot share its stamp.
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
        """Raises SimulationError when nothing can be rendered or a camera is unknown."""
        self._node = node
        self._model = model
        self._size, self._waits = (width, height), waits
        self._cameras = tuple(cameras)
        self._images = {c: node.create_publisher(Image, f"{c}/image_raw", _QOS) for c in self._cameras}
        self._infos = {c: node.create_publisher(CameraInfo, f"{c}/camera_info", _QOS) for c in self._cameras}
        self._focal_lengths = {c: focal_length(model, c, height) for c in self._cameras}
        self._change = threading.Condition()
        self._snapshot: tuple[int, np.ndarray] | None = None
        self._leaving = False
        self.dropped = 0
        self.published = 0
        self._failure: Exception | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cameras", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def alive(self) -> bool:
        """Whether frames are still rendered."""
        return self._thread.is_alive()

    def offer(self, time_ns: int, qpos: np.ndarray) -> None:
        """Hands over a snapshot: the instant [ns] and all coordinates of the scene (nq,)."""
        with self._change:
            if self._waits:
                self._change.wait_for(lambda: self._leaving or self._snapshot is None, _STUCK)
            if self._snapshot is not None:
                self.dropped += 1
            self._snapshot = (time_ns, qpos)
            self._change.notify()

    def stop(self) -> None:
        """Ends the thread after the frame in work."""
        with self._change:
            self._leaving = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        # The renderer belongs to this thread from making to closing.
        try:
            renderer = Renderer(self._model, *self._size)
        except Exception as error:  # noqa: BLE001 - raised again where the node is made
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
            self._change.wait_for(lambda: self._leaving or self._snapshot is not None)
            snapshot, self._snapshot = self._snapshot, None
            self._change.notify()
            return None if self._leaving else snapshot

    def _publish(self, renderer: Renderer, time_ns: int, qpos: np.ndarray) -> None:
        width, height = self._size
        for camera in self._cameras:
            image = renderer.render(qpos, (camera,))[camera]  # (H, W, 3)
            self._images[camera].publish(image_message(time_ns, camera, image))
            focal = self._focal_lengths[camera]
            self._infos[camera].publish(camera_info_message(time_ns, camera, width, height, focal))
        self.published += 1
