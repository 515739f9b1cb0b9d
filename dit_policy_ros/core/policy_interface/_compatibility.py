# SPDX-License-Identifier: Apache-2.0
"""Checks that a checkpoint fits the robot contract, before anything moves."""

from collections.abc import Mapping

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface._policy import Policy
from dit_policy_ros.core.problems import Problems, listing

_FPS_TOLERANCE = 1e-3  # [Hz]
_ASPECT_TOLERANCE = 0.01  # relative; a smaller difference distorts less than rounding to whole pixels


def check_policy(policy: Policy, contract: Contract) -> None:
    """Compare a checkpoint with the contract.

    The contract may have cameras that the checkpoint does not use. A camera's resolution may differ if the
    aspect ratio is the same, because images are resized. Facts that the checkpoint does not have are skipped.

    Raises:
        CheckpointError: lists all differences.
    """
    problems = Problems("the checkpoint compared with the robot contract")
    joints = len(contract.joints)
    for kind, length in (("state", policy.state_dim), ("action", policy.action_dim)):
        if length != joints:
            problems.add(
                f"{kind} dimension",
                f"{joints}, the number of 'joints' in the contract",
                f"{length} in the checkpoint",
            )
    if policy.joint_names is not None:
        _check_joints(tuple(policy.joint_names), contract.joints, problems)
    if policy.fps is not None and not abs(policy.fps - contract.fps) <= _FPS_TOLERANCE:
        problems.add(
            "fps",
            f"{contract.fps:g} Hz as in the contract",
            f"{policy.fps:g} Hz in the checkpoint",
            " Set 'fps' to the rate of the training data.",
        )
    _check_cameras(policy.image_shapes, contract, problems)
    problems.raise_if_any(CheckpointError, "The checkpoint does not fit this robot")


def _check_joints(trained: tuple[str, ...], joints: tuple[str, ...], problems: Problems) -> None:
    if trained == joints:
        return
    if sorted(trained) == sorted(joints):
        first = next(
            index for index, pair in enumerate(zip(trained, joints, strict=True)) if pair[0] != pair[1]
        )
        problems.add(
            "joints",
            f"the order that the checkpoint was trained with: {listing(trained)}",
            f"another order from position {first} on: {listing(joints)}",
            " Reorder 'joints' in the contract.",
        )
        return
    missing = [name for name in trained if name not in joints]
    extra = [name for name in joints if name not in trained]
    problems.add(
        "joints",
        f"the joints that the checkpoint was trained with: {listing(trained)}",
        f"a contract without {listing(missing)} and with {listing(extra)} in addition",
    )


def _check_cameras(shapes: Mapping[str, tuple[int, int]], contract: Contract, problems: Problems) -> None:
    for name, (height, width) in shapes.items():
        if name not in contract.camera_names:
            problems.add(
                f"cameras.{name}",
                "every camera that the checkpoint uses",
                f"a contract without it; its cameras are: {listing(contract.camera_names)}",
            )
            continue
        camera = contract.camera(name)
        trained, given = width / height, camera.width / camera.height
        if not abs(trained - given) <= _ASPECT_TOLERANCE * trained:
            problems.add(
                f"cameras.{name}",
                f"the aspect ratio of the training images, {width}x{height} (width x height)",
                f"{camera.width}x{camera.height}, which would be distorted by resizing",
            )
