# SPDX-License-Identifier: Apache-2.0
"""What a robot has, from its topics to dataset and policy: no, one and ten cameras, and each vector."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

from contracts import SMALL_CONTRACT, small_mapping
from episodes import load
from further_streams import (
    FurtherStreams,
    ManyCameras,
    camera_groups,
    entries_of,
    expected,
    vector_groups,
)
from policy_watch import Watch
from ros_testing import spinning
from small_robot import (
    HEIGHT,
    JOINTS,
    WIDTH,
    SmallRobot,
    parameters,
    policy_node,
    spinning_together,
    tiny_checkpoint,
)
from teleoperated import SPEED
from waiting import wait_for

from dit_policy_ros.data.dataset import read_records
from dit_policy_ros.data.video import read_columns
from dit_policy_ros.msg import PolicyStatus

COUNTS = [*(pytest.param(each, marks=pytest.mark.slow) for each in (0, 1)), 10]


def flat(group: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A group of the contract as overrides of parameters."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{group}__{name}"
        found |= flat(key, value) if isinstance(value, Mapping) else {key: value}
    return found


def without_the_shipped_camera(cameras: Mapping[str, Any]) -> dict[str, Any]:
    gone = {f"cameras__top__{name}": None for name in ("topic", "height", "width", "max_age")}
    if not cameras["names"]:  # a parameter cannot be an empty list
        return {**gone, "cameras__names": None}
    return {**gone, **flat("cameras", cameras)}


@pytest.mark.parametrize("count", COUNTS)
def test_the_recorder_records_every_camera(start_session, tmp_path: Path, count: int) -> None:
    cameras = camera_groups(count, 32, 48)
    mapping = small_mapping(cameras=cameras)
    if not count:
        del mapping["cameras"]
    with spinning(ManyCameras(count, 32, 48)):
        session = start_session(mapping, {"top", "wrist"})
        session.ready()
        answer = session.record(8)
        session.node.shut_down()
    assert answer.success, answer.message
    assert list(answer.report.cameras) == cameras["names"]
    dataset = load(tmp_path / "dataset")
    names = [key.removeprefix("observation.images.") for key in dataset.meta.camera_keys]
    assert names == cameras["names"]
    assert dataset.num_frames >= 8
    for number, key in enumerate(dataset.meta.camera_keys):
        image = dataset[4][key].numpy() * 255.0  # (3, h, w)
        np.testing.assert_allclose(image[:, 8:].mean(), 20 * number + 10, atol=3.0)


@pytest.mark.parametrize("count", COUNTS)
def test_the_policy_reads_every_camera(ros_domain, tmp_path: Path, count: int) -> None:
    cameras = camera_groups(count, HEIGHT, WIDTH)
    checkpoint = tiny_checkpoint(tmp_path / "tiny", cameras=cameras["names"])
    robot, publisher = SmallRobot(), ManyCameras(count, HEIGHT, WIDTH)
    node = policy_node(parameters(checkpoint=str(checkpoint), **without_the_shipped_camera(cameras)))
    watch, seen = Watch(robot, node), []
    with spinning_together(robot, node, publisher):
        assert node.trigger_configure().name == "SUCCESS"
        predict = watch.policy.predict

        def watched(images, *arguments, **options):
            seen.append({name: frames[-1, 8:].mean() for name, frames in images.items()})
            return predict(images, *arguments, **options)

        watch.policy.predict = watched
        wait_for(lambda: node.trigger_activate().name == "SUCCESS", 60.0, "it is activated")
        wait_for(lambda: watch.status.state == PolicyStatus.RUNNING, 60.0, "it runs")
        wait_for(lambda: watch.status.plans >= 3 and len(list(watch.plans())) >= 3, 60.0, "three plans")
    wanted = {name: 20.0 * number + 10.0 for number, name in enumerate(cameras["names"])}
    assert all(each == wanted for each in seen)


def test_the_recorder_keeps_the_values_of_every_kind_of_vector(start_session, tmp_path: Path) -> None:
    joints = SMALL_CONTRACT.joints
    session = start_session(small_mapping(vectors=vector_groups(joints)))
    with spinning(FurtherStreams(joints, session.robot.time)):
        session.ready()
        answer = session.record(30)
        session.node.shut_down()
    assert answer.success, answer.message
    meta = load(tmp_path / "dataset").meta
    for name, entries in entries_of(joints).items():
        assert meta.features[f"observation.{name}"]["names"] == list(entries)
    keys = [f"observation.{name}" for name in entries_of(joints)]
    columns = read_columns(meta, ["observation.state", *keys])
    # Frames that repeat a sample, because this computer is busy, show another time. Those whose sample is
    # late have the last one, which is less than a frame old.
    flagged = read_records(tmp_path / "dataset")[0].flagged()
    good = np.setdiff1d(np.arange(len(columns["observation.state"])), flagged)  # (G,)
    assert len(good) >= 5
    times = np.stack(columns["observation.state"])[good, 0] / SPEED  # [s]
    for name, key in zip(entries_of(joints), keys, strict=True):
        got = np.stack(columns[key])[good].reshape(len(times), -1)
        if name == "array":  # it has no stamp: it counts as measured when it is received, some time later
            np.testing.assert_allclose(got, got[:, :1] * [1.0, -1.0, 0.5], atol=1e-5)
            assert (np.diff(got[:, 0]) >= 0).all() and np.ptp(got[:, 0]) > 0
            assert got[-1, 0] <= times[-1] + 0.01
            continue
        late = np.stack([_age(each, t, name, joints) for each, t in zip(got, times, strict=True)])  # (G,)
        assert np.isfinite(late).all(), f"{name}: {got[~np.isfinite(late)]} was not measured then"
        assert np.median(late) == 0.0, f"{name}: {late}"


def _age(row: np.ndarray, time: float, name: str, joints: Sequence[str]) -> float:
    """How old a frame's value is [s]: 0, or up to a frame if a sample was late; NaN if it never was."""
    ages = np.arange(0.0, 1.0 / 30.0, 0.001)
    return next((a for a in ages if np.allclose(row, expected(time - a, joints)[name], atol=0.01)), np.nan)


@pytest.mark.slow
def test_the_policy_gets_the_values_of_every_kind_of_vector(ros_domain, tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "tiny", vectors=entries_of(JOINTS))
    robot, streams = SmallRobot(), FurtherStreams(JOINTS, lambda _: 1.5)
    changes = flat("vectors", vector_groups(JOINTS))
    node = policy_node(parameters(checkpoint=str(checkpoint), **changes))
    watch, seen = Watch(robot, node), []
    with spinning_together(robot, node, streams):
        assert node.trigger_configure().name == "SUCCESS"
        predict = watch.policy.predict

        def watched(images, state, *arguments, **options):
            seen.append(state.copy())
            return predict(images, state, *arguments, **options)

        watch.policy.predict = watched
        wait_for(lambda: node.trigger_activate().name == "SUCCESS", 60.0, "it is activated")
        wait_for(lambda: watch.status.plans >= 3, 60.0, "three plans")
    values = expected(1.5, JOINTS)
    wanted = np.concatenate([[0.02] * len(JOINTS), *(values[name] for name in entries_of(JOINTS))])
    for state in seen:
        np.testing.assert_allclose(state, np.tile(wanted, (len(state), 1)), atol=1e-5)
