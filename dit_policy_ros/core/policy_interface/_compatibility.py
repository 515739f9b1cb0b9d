# SPDX-License-Identifier: Apache-2.0
"""Checks that a checkpoint fits the robot contract, before anything moves."""

from collections.abc import Mapping

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface._policy import PolicyFacts
from dit_policy_ros.core.problems import Problems, listing

_FPS_TOLERANCE = 1e-3  # [Hz]
_ASPECT_TOLERANCE = 0.01  # relative; a smaller difference distorts less than rounding to whole pixels


def check_policy(policy: PolicyFacts, contract: Contract) -> None:
    """Compare a checkpoint with the contract.

    The contract may have cameras that the checkpoint does not use. A camera's resolution may differ if the
    aspect ratio is the same, because images are resized. What the checkpoint does not state (LeRobot's state
    neither rate nor joint names) must be given as ``assume_fps`` and ``assume_joints`` when it is loaded:
    data of 15 Hz under a contract of 30 Hz would move twice as fast, and joints in another order would move
    one another's way.

    Raises:
        CheckpointError: lists all differences.
    """
    problems = Problems("the checkpoint compared with the robot contract")
    names = contract.layout.names
    joints = len(names)
    state_dim = policy.state_dim - sum(vector.size for vector in policy.vectors)  # of the joints
    for kind, length in (("state", state_dim), ("action", policy.action_dim)):
        if length != joints:
            problems.add(
                f"{kind} dimension",
                f"{joints}, the number of 'joints' in the contract",
                f"{length} in the checkpoint",
            )
    nameless = [
        kind
        for kind, names, length in (
            ("state", policy.joint_names, state_dim),
            ("action", policy.action_names, policy.action_dim),
        )
        if names is None and length == joints
    ]
    if nameless:
        problems.add(
            "assume_joints",
            f"the joints of the entries of {' and '.join(nameless)} in the order of the training data, "
            "because the checkpoint does not state it",
            "none",
            " If it is the order of 'joints' in the contract, repeat that list.",
        )
    if policy.fps is None:
        problems.add(
            "assume_fps",
            "the rate of the training data, because the checkpoint does not state it",
            "none",
            f" Set it to that rate [Hz]; it must be the contract's {contract.fps:g}.",
        )
    if policy.joint_names is not None:
        _check_joints("joints", tuple(policy.joint_names), names, problems)
    if policy.action_names is not None and policy.action_names != policy.joint_names:
        _check_joints("actions", tuple(policy.action_names), names, problems)
    if policy.fps is not None and not abs(policy.fps - contract.fps) <= _FPS_TOLERANCE:
        problems.add(
            "fps",
            f"{contract.fps:g} Hz as in the contract",
            f"{policy.fps:g} Hz in the checkpoint",
            " Set 'fps' to the rate of the training data.",
        )
    _check_cameras(policy.image_shapes, contract, problems)
    problems.raise_if_any(CheckpointError, "The checkpoint does not fit this robot")


def _check_joints(key: str, trained: tuple[str, ...], joints: tuple[str, ...], problems: Problems) -> None:
    if trained == joints:
        return
    if sorted(trained) == sorted(joints):
        first = next(
            index for index, pair in enumerate(zip(trained, joints, strict=True)) if pair[0] != pair[1]
        )
        problems.add(
            key,
            f"the order that the checkpoint was trained with: {listing(trained)}",
            f"another order from position {first} on: {listing(joints)}",
            " Reorder 'joints' in the contract.",
        )
        return
    missing = [name for name in trained if name not in joints]
    extra = [name for name in joints if name not in trained]
    problems.add(
        key,
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
        if camera.is_depth:
            problems.add(
                f"cameras.{name}.kind",
                "color, because the checkpoint uses this camera and a policy reads colour images",
                f"depth [{camera.depth_unit}]",
                " Train without it (--cameras), or name the colour camera of the training data so "
                "(trained_as). The recorder and the viewer use depth images; no policy does",
            )
            continue
        trained, given = width / height, camera.width / camera.height
        if not abs(trained - given) <= _ASPECT_TOLERANCE * trained:
            problems.add(
                f"cameras.{name}",
                f"the aspect ratio of the training images, {width}x{height} (width x height)",
                f"{camera.width}x{camera.height}, which would be distorted by resizing",
            )
