# SPDX-License-Identifier: Apache-2.0
"""Conversions between the simulator's data and ROS messages."""

import array
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point as Point3
from geometry_msgs.msg import Pose, PoseArray, Quaternion
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.ros.common import stamp_ns, to_stamp
from dit_policy_ros.sim.controllers import Point, Trajectory
from dit_policy_ros.sim.tasks import TouchReport


def optical_frame(camera: str) -> str:
    """The frame of a camera's images: z forward, x right, y down (REP 103)."""
    return f"{camera}_optical_frame"


def trajectory_from(msg: JointTrajectory) -> Trajectory:
    """Copies a message unchecked; the controller checks it."""
    points = tuple(
        Point(
            _duration_ns(point.time_from_start),
            tuple(point.positions),
            tuple(point.velocities),
            tuple(point.accelerations),
            tuple(point.effort),
        )
        for point in msg.points
    )
    return Trajectory(stamp_ns(msg.header.stamp), tuple(msg.joint_names), points)


def _duration_ns(duration: Duration) -> int:
    return duration.sec * NANOSECONDS + duration.nanosec


def joint_state_message(
    time_ns: int, names: Sequence[str], positions: np.ndarray, velocities: np.ndarray, efforts: np.ndarray
) -> JointState:
    """All (A,) in the order of names: [rad], [rad/s], [N m]; for grippers [m], [m/s], [N]."""
    msg = JointState(
        name=list(names),
        position=array.array("d", positions.tobytes()),
        velocity=array.array("d", velocities.tobytes()),
        effort=array.array("d", efforts.tobytes()),
    )
    msg.header.stamp = to_stamp(time_ns)
    return msg


def image_message(time_ns: int, camera: str, image: np.ndarray) -> Image:
    """image: uint8 (H, W, 3) RGB."""
    height, width, _ = image.shape
    msg = Image(height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width)
    msg.header.stamp = to_stamp(time_ns)
    msg.header.frame_id = optical_frame(camera)
    # rclpy takes an array of bytes unchecked; it would check any other type number by number.
    msg.data = array.array("B", image.tobytes())
    return msg


def depth_message(
    time_ns: int, camera: str, distances: np.ndarray, unit: str, compressed: bool
) -> Image | CompressedImage:
    """distances: (H, W) [m]. unit: "mm" for 16UC1, where 0 is out of range, or "m" for 32FC1 (REP 118).

    A compressed one is the PNG or TIFF file of image_transport's `compressed`.
    """
    values = distances.astype("<f4")  # (H, W)
    if unit == "mm":
        values = np.rint(1000.0 * distances)
        values = np.where(values > 65535.0, 0.0, values).astype("<u2")
    encoding = "16UC1" if unit == "mm" else "32FC1"
    if compressed:
        kind = "png" if unit == "mm" else "tiff"
        data = cv2.imencode(f".{kind}", values)[1]
        msg = CompressedImage(format=f"{encoding}; {kind} compressed ")
    else:
        height, width = values.shape
        msg = Image(height=height, width=width, encoding=encoding, step=width * values.itemsize)
        data = values
    msg.header.stamp = to_stamp(time_ns)
    msg.header.frame_id = optical_frame(camera)
    msg.data = array.array("B", data.tobytes())
    return msg


def compressed_message(time_ns: int, camera: str, image: np.ndarray) -> CompressedImage:
    """image: uint8 (H, W, 3) RGB; as JPEG."""
    done, data = cv2.imencode(".jpg", image[:, :, ::-1])
    if not done:
        raise ValueError(f"camera {camera}: an image of {image.shape} cannot be encoded as JPEG")
    msg = CompressedImage(format="rgb8; jpeg compressed bgr8")
    msg.header.stamp = to_stamp(time_ns)
    msg.header.frame_id = optical_frame(camera)
    msg.data = array.array("B", data.tobytes())
    return msg


def camera_info_message(
    time_ns: int, camera: str, width: int, height: int, focal_length: float
) -> CameraInfo:
    """An undistorted camera with square pixels; focal_length in pixels.

    Pixel centres have integer coordinates, so the optical axis of an even number of pixels lies between two.
    """
    f, cx, cy = focal_length, (width - 1) / 2.0, (height - 1) / 2.0
    msg = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    msg.header.stamp = to_stamp(time_ns)
    msg.header.frame_id = optical_frame(camera)
    msg.k = [f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0]
    msg.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    msg.p = [f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return msg


def cubes_message(time_ns: int, frames: np.ndarray) -> PoseArray:
    """The cubes' true poses: (3, 7) position [m] and quaternion (w, x, y, z), in the world frame."""
    poses = [
        Pose(position=Point3(x=x, y=y, z=z), orientation=Quaternion(w=qw, x=qx, y=qy, z=qz))
        for x, y, z, qw, qx, qy, qz in frames.tolist()
    ]
    msg = PoseArray(poses=poses)
    msg.header.stamp = to_stamp(time_ns)
    msg.header.frame_id = "world"
    return msg


def cube_frames(msg: PoseArray) -> np.ndarray:
    """The inverse of ``cubes_message``: (3, 7)."""
    rows = [(pose.position, pose.orientation) for pose in msg.poses]
    return np.array([(p.x, p.y, p.z, q.w, q.x, q.y, q.z) for p, q in rows])


def referee_message(
    touch_reports: Sequence[TouchReport],
    done: Mapping[str, float | None],
    extra: Mapping[str, str],
    robot: str,
) -> DiagnosticStatus:
    """The referee's values, by key.

    For touch tasks: "<instruction>/distance" [m], "<instruction>/success" (true or false, since the last
    message) and "<instruction>/touches" (since the scene began). For every task: "<instruction>/done", the
    time when it was done [s of scene time] or "no". `extra` is added unchanged. robot: what it is, in words.
    """
    values = []
    touched = []
    for report in touch_reports:
        instruction = report.task.instruction
        values.append(KeyValue(key=f"{instruction}/distance", value=f"{report.distance:.4f}"))
        values.append(KeyValue(key=f"{instruction}/success", value=str(report.success).lower()))
        values.append(KeyValue(key=f"{instruction}/touches", value=str(report.touches)))
        if report.success:
            touched.append(f"the {report.task.side} arm touches the {report.task.colour} cube")
    for instruction, seconds in done.items():
        when = "no" if seconds is None else f"{seconds:.3f}"
        values.append(KeyValue(key=f"{instruction}/done", value=when))
    values += [KeyValue(key=key, value=value) for key, value in extra.items()]
    finished = [f"done: {instruction}" for instruction, seconds in done.items() if seconds is not None]
    nothing = "no cube is touched" if touch_reports else "; ".join(finished) or "nothing is done yet"
    return DiagnosticStatus(
        level=DiagnosticStatus.OK, name="sim: referee", hardware_id=robot,
        message="; ".join(touched) or nothing, values=values,
    )  # fmt: skip
