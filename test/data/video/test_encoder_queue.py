# SPDX-License-Identifier: Apache-2.0
"""How many images wait for an encoder is known while an episode is recorded."""

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
from contracts import SMALL_CONTRACT

from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.data.video import _camera_encoder


def test_images_that_wait_are_counted_of_the_camera_that_has_most(tmp_path, monkeypatch):
    writer = DatasetWriter(tmp_path / "dataset", DatasetSpec.from_contract(SMALL_CONTRACT))
    assert writer.queued_images == 0, "no episode runs"
    monkeypatch.setattr(_camera_encoder.CameraEncoder, "_run", lambda _: None)  # an encoder that hangs
    cameras = SMALL_CONTRACT.cameras
    for count in range(1, 4):
        images = {each.name: np.zeros((each.height, each.width, 3), np.uint8) for each in cameras}
        writer.add_frame(images, np.zeros(3), np.zeros(3), "push")
        assert writer.queued_images == count
    writer.discard_episode()
    assert writer.queued_images == 0
    writer.finalize()
