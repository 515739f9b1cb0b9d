# SPDX-License-Identifier: Apache-2.0
"""The MJCF of the small robot of `contracts`: an arm of two joints, a gripper of two fingers, two cameras."""

from pathlib import Path

SERVOS = """
    <position name="shoulder" joint="shoulder" kp="200" kv="20"/>
    <position name="elbow" joint="elbow" kp="200" kv="20"/>
    <position name="finger" joint="finger" kp="400" kv="40"/>
"""
KEYFRAME = '<keyframe><key name="home" qpos="0.3 -0.4 0.01 0.01 0 0 0.5 1 0 0 0"/></keyframe>'


def small_mjcf(
    servos: str = SERVOS, keyframe: str = KEYFRAME, *, extra: str = "", timestep: float = 0.002
) -> str:
    """The text of the MJCF. extra: elements beside the others."""
    return f"""
<mujoco model="small">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{timestep}" gravity="0 0 0"/>
  <worldbody>
    <light pos="0 0 2"/>
    <camera name="top" pos="0 0 2"/>
    <body name="upper">
      <joint name="shoulder" axis="0 0 1" range="-2 2" armature="0.1"/>
      <geom type="capsule" size="0.02" fromto="0 0 0 0.3 0 0" mass="0.5"/>
      <body name="lower" pos="0.3 0 0">
        <joint name="elbow" axis="0 0 1" range="-2 2" armature="0.1"/>
        <geom type="capsule" size="0.02" fromto="0 0 0 0.2 0 0" mass="0.3"/>
        <camera name="wrist" pos="0.2 0 0.1"/>
        <body name="left_finger" pos="0.25 0.01 0">
          <joint name="finger" type="slide" axis="0 1 0" range="0 0.04" armature="0.05"/>
          <geom type="box" size="0.02 0.004 0.01" contype="0" conaffinity="0" mass="0.05"/>
        </body>
        <body name="right_finger" pos="0.25 -0.01 0">
          <joint name="second_finger" type="slide" axis="0 -1 0" range="0 0.04" armature="0.05"/>
          <geom type="box" size="0.02 0.004 0.01" contype="0" conaffinity="0" mass="0.05"/>
        </body>
      </body>
    </body>
    <body name="ball" pos="0 0 0.5">
      <freejoint name="ball"/>
      <geom name="ball" type="sphere" size="0.02" mass="0.1" rgba="1 0 0 1"/>
    </body>
  </worldbody>
  <equality><joint joint1="second_finger" joint2="finger"/></equality>
  <actuator>{servos}</actuator>
  {keyframe}
  {extra}
</mujoco>
"""


def write_mjcf(folder: Path, text: str | None = None) -> str:
    """Writes the MJCF to a file and returns its path."""
    path = folder / "small.xml"
    path.write_text(small_mjcf() if text is None else text)
    return str(path)
