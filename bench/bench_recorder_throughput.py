#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many cameras the recorder can record, compared with LeRobot's writer, over DDS, and at its limit.

1. Writes the same frames of 3 cameras (640x480, 30 Hz) with LeRobot's streaming writer and with ours, each in
   its own process. Reports CPU time per frame, peak memory, and the time from the last frame until the next
   episode can begin. Repeats it for cameras that send JPEG: encoded again, and stored unchanged
   (video.keep_jpeg).
2. Runs the recorder node with a process that publishes 3 cameras at 30 Hz and 14 joints at 100 Hz. Reports
   missed frames, memory growth, CPU use, and the time from stop to ready.
3. Adds cameras until frames are missed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from command_line import make_parser, parse, write_figures

from dit_policy_ros.core.contract import Camera

FPS, HEIGHT, WIDTH = 30, 480, 640
CAMERAS = 3  # part 3 adds more
WRITERS = ("lerobot", "ours", "jpeg_encoded", "jpeg_kept")
JOINTS = [f"joint_{number}" for number in range(14)]


def scene(frame: int, camera: int) -> np.ndarray:
    """A moving texture with sensor noise (h, w, 3)."""
    rng = np.random.default_rng(camera)
    texture = rng.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    noise = rng.integers(0, 6, texture.shape, dtype=np.uint8)
    return np.roll(texture // 2 + noise, 2 * frame, axis=1)


def cameras(count: int) -> list[Camera]:
    return [Camera(f"cam_{number}", f"cam_{number}/image_raw", HEIGHT, WIDTH, 0.5) for number in range(count)]


def message(picture: np.ndarray, camera: Camera):
    """A camera's message."""
    from sensor_msgs.msg import CompressedImage, Image

    if not camera.compressed:
        return Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH, data=picture.tobytes())
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    return CompressedImage(format="rgb8; jpeg compressed bgr8", data=data)


def through_writer(kind: str, root: Path, frames: int) -> dict[str, float]:
    """Write one episode with LeRobot's writer or ours, in this process."""
    from dit_policy_ros.core.recording import EpisodeFrame

    used = cameras(CAMERAS)
    pictures = [[scene(n, c) for n in range(30)] for c in range(CAMERAS)]
    vector = np.zeros(len(JOINTS), np.float32)
    if kind == "lerobot":
        from lerobot.datasets import LeRobotDataset

        from dit_policy_ros.data.dataset import DatasetSpec
        from dit_policy_ros.data.video import VideoSettings

        dataset = LeRobotDataset.create(
            "local/bench", fps=FPS, root=root, streaming_encoding=True,
            features=DatasetSpec(FPS, tuple(used), tuple(JOINTS), "bench").features(),
            rgb_encoder=VideoSettings().lerobot_config(), encoder_threads=1, encoder_queue_maxsize=100_000,
        )  # fmt: skip

        def add(number: int) -> None:
            images = {f"observation.images.{c.name}": pictures[i][number % 30] for i, c in enumerate(used)}
            dataset.add_frame({**images, "observation.state": vector, "action": vector, "task": "t"})

        save = dataset.save_episode
    else:
        from dit_policy_ros.data.dataset import DatasetSpec
        from dit_policy_ros.data.recording import DatasetWriter
        from dit_policy_ros.data.video import VideoSettings
        from dit_policy_ros.ros.recorder import FrameRecorder

        used = [replace(camera, compressed=kind != "ours") for camera in used]
        video = VideoSettings(keep_jpeg=kind == "jpeg_kept")
        spec = DatasetSpec(FPS, tuple(used), tuple(JOINTS), "bench")
        writer = DatasetWriter(root, spec, video=video, background=True)
        recorder = FrameRecorder(writer, used, {})
        messages = [[message(picture, camera) for picture in pictures[i]] for i, camera in enumerate(used)]

        def add(number: int) -> None:
            taken = {c.name: messages[i][number % 30] for i, c in enumerate(used)}
            recorder.add(EpisodeFrame(number, taken, vector, vector), "t")

        save = writer.save_episode
    cpu, wall = time.process_time(), time.perf_counter()
    for number in range(frames):
        add(number)
        ahead = wall + (number + 1) / FPS - time.perf_counter()
        if ahead > 0.0:
            time.sleep(ahead)  # at the cameras' rate
    end = time.perf_counter()
    save()
    ready = time.perf_counter() - end
    if kind != "lerobot":
        writer.finalize()
    return {
        "cpu_per_frame_ms": 1e3 * (time.process_time() - cpu) / frames,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "stop_to_ready_s": ready,
        "late_s": end - wall - frames / FPS,
    }


def publish(count: int) -> None:
    """Publish cameras, joint states and a leader arm until killed."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image, JointState

    from dit_policy_ros.ros.common import qos, to_stamp

    rclpy.init()
    node = rclpy.create_node("robot")
    publishers = [node.create_publisher(Image, camera.topic, qos.IMAGES) for camera in cameras(count)]
    joints = [
        node.create_publisher(JointState, name, qos.JOINT_STATES) for name in ("joint_states", "leader")
    ]
    messages = []
    for camera in range(count):
        messages.append([])
        for number in range(15):
            message = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
            message.data = scene(number, camera).tobytes()
            messages[-1].append(message)
    sent = [0]

    def send_images() -> None:
        stamp = to_stamp(node.get_clock().now().nanoseconds)
        for publisher, kinds in zip(publishers, messages, strict=True):
            message = kinds[sent[0] % len(kinds)]
            message.header.stamp = stamp
            publisher.publish(message)
        sent[0] += 1

    def send_joints() -> None:
        now_ns = node.get_clock().now().nanoseconds
        position = [float(np.sin(now_ns / 1e9 + n)) for n in range(len(JOINTS))]
        message = JointState(name=JOINTS, position=position)
        message.header.stamp = to_stamp(now_ns)
        for publisher in joints:
            publisher.publish(message)

    node.create_timer(1.0 / FPS, send_images)
    node.create_timer(0.01, send_joints)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.spin()


def parameters(count: int, dataset: Path) -> dict:
    """Parameters of the recorder for ``count`` cameras."""
    used = cameras(count)
    contract: dict = {
        "robot_type": "bench", "fps": float(FPS), "joints": list(JOINTS),
        "joint_states": {"topic": "joint_states", "max_age": 0.5},
        "cameras": {"names": [c.name for c in used]}
        | {c.name: {"topic": c.topic, "height": HEIGHT, "width": WIDTH, "max_age": 0.5} for c in used},
        "controllers": {
            "names": ["arm"],
            "arm": {"type": "joint_trajectory_controller", "joints": list(JOINTS)},
        },
        "limits": {
            name: {"position_min": -2.0, "position_max": 2.0, "velocity": 3.0, "acceleration": 9.0}
            for name in JOINTS
        },
    }  # fmt: skip
    settings = {"dataset": str(dataset), "action": {"source": "leader", "topic": "leader"}}
    return {"/**": {"ros__parameters": contract}, "/recorder": {"ros__parameters": settings}}


def over_dds(count: int, seconds: float, settling: float, folder: Path) -> dict[str, float]:
    """An episode recorded by the node from so many cameras."""
    import rclpy
    import yaml
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    from dit_policy_ros.core.child_processes import start
    from dit_policy_ros.core.transport_profile import profile_environment
    from dit_policy_ros.evaluation.session import cpu_seconds, ros_environment
    from dit_policy_ros.srv import StartEpisode, StopEpisode

    config = folder / f"{count}.yaml"
    config.write_text(yaml.safe_dump(parameters(count, folder / f"set_{count}")))
    python = (sys.executable, "-u")
    with ros_environment(folder) as environment:
        environment |= profile_environment(environment)  # as the documentation tells camera drivers to
        robot = start(
            "robot", (*python, __file__, "--publish", str(count)), environment, folder / "robot.log"
        )
        command = (
            *python,
            "-m",
            "dit_policy_ros.ros.recorder.recorder_node",
            "--ros-args",
            "--params-file",
            str(config),
        )
        recorder = start("recorder", command, environment, folder / "recorder.log")
        node = rclpy.create_node("operator")

        def call(kind, name: str, request, timeout: float):
            client = node.create_client(kind, name)
            client.wait_for_service(timeout)
            future = client.call_async(request)
            rclpy.spin_until_future_complete(node, future, timeout_sec=timeout)
            answer = future.result()
            if answer is None or not answer.success:
                raise SystemExit(
                    f"{name}: {answer and getattr(answer, 'message', answer)}\n{recorder.output()}"
                )
            return answer

        try:
            for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
                request = ChangeState.Request(transition=Transition(id=transition))
                call(ChangeState, "/recorder/change_state", request, 90.0)
            time.sleep(settling)
            call(StartEpisode, "/recorder/start_episode", StartEpisode.Request(task="t"), 30.0)
            time.sleep(min(10.0, seconds / 4))
            memory, cpu, begin = resident(recorder.process.pid), cpu_seconds(recorder), time.monotonic()
            time.sleep(max(1.0, seconds - 10.0))
            grown, elapsed = resident(recorder.process.pid) - memory, time.monotonic() - begin
            cpu = (cpu_seconds(recorder) - cpu) / elapsed
            asked = time.monotonic()
            stop = StopEpisode.Request(save=True, success_label=True)
            report = call(StopEpisode, "/recorder/stop_episode", stop, 60.0).report
            ready = time.monotonic() - asked
        finally:
            node.destroy_node()
            recorder.stop()
            robot.stop()
    missed = dict(zip(report.streams, report.missing_frames, strict=True))
    return {
        "cameras": count,
        "frames": report.frames,
        "missed_frames": sum(missed.values()),
        "encoder_waits": sum(report.encoder_waits),
        "cpu_cores": cpu,
        "memory_mb": memory,
        "memory_growth_mb": grown,
        "stop_to_ready_s": ready,
        "ended_early": any("ended early" in reason for reason in report.reasons),
    }


def resident(pid: int) -> float:
    """Resident memory of a process [MB]."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    parser = make_parser(__doc__, "out/bench/recorder_throughput.json")
    parser.add_argument("--frames", type=int, default=600, help="frames of the episode for each writer")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="duration of the episode over DDS [s] (docs/recording.md: 600)",
    )
    parser.add_argument(
        "--limit-seconds", type=float, default=20.0, help="duration of each episode with more cameras [s]"
    )
    parser.add_argument("--settling", type=float, default=3.0, help="pause before each episode over DDS [s]")
    parser.add_argument("--most-cameras", type=int, default=12)
    parser.add_argument("--writers", nargs="+", choices=WRITERS, default=WRITERS, help="default: all")
    parser.add_argument("--publish", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--writer", nargs=2, help=argparse.SUPPRESS)
    options = parse(
        parser,
        frames=10,
        seconds=1.0,
        settling=0.5,
        most_cameras=CAMERAS,
        writers=("lerobot", "jpeg_kept"),
    )
    if options.publish:
        publish(options.publish)
        return 0
    if options.writer:
        kind, root = options.writer
        print(json.dumps(through_writer(kind, Path(root), options.frames)))
        return 0
    result: dict = {"cores": os.cpu_count(), "writers": {}, "node": [], "limit": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in options.writers:
            command = [sys.executable, __file__, "--writer", kind, str(folder / kind)]
            command += ["--frames", str(options.frames)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            result["writers"][kind] = json.loads(printed.splitlines()[-1])
            print(kind, result["writers"][kind], flush=True)
        result["node"] = over_dds(CAMERAS, options.seconds, options.settling, folder)
        print(result["node"], flush=True)
        for count in range(CAMERAS + 1, options.most_cameras + 1):
            result["limit"].append(over_dds(count, options.limit_seconds, options.settling, folder))
            print(result["limit"][-1], flush=True)
            if result["limit"][-1]["missed_frames"] or result["limit"][-1]["ended_early"]:
                break
    write_figures(options.output, result)
    print(f"written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
