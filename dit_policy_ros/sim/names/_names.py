# SPDX-License-Identifier: Apache-2.0
"""Names of the built-in robot's arms, joints, controllers and cameras."""

SIDES = ("left", "right")
ARM_JOINTS = 6
JOINTS = tuple(
    f"{side}_{name}" for side in SIDES for name in (*(f"joint_{i + 1}" for i in range(ARM_JOINTS)), "gripper")
)
CONTROLLERS = {
    f"{side}_{part}_controller": tuple(j for j in JOINTS if j.startswith(side) and ("gripper" in j) == grip)
    for side in SIDES
    for part, grip in (("arm", False), ("gripper", True))
}
CAMERAS = ("top", "left_wrist", "right_wrist")
