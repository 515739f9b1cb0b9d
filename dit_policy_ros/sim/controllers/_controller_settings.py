# SPDX-License-Identifier: Apache-2.0
"""Which release of ros2_controllers the simulated controllers imitate, and their parameters."""

from dataclasses import dataclass
from enum import StrEnum


class ControllerRelease(StrEnum):
    """A branch of ros2_controllers; ROLLING is its master, from which the releases after Kilted are made."""

    HUMBLE = "humble"
    JAZZY = "jazzy"
    KILTED = "kilted"
    ROLLING = "rolling"


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Parameters of joint_trajectory_controller by their names there, with its defaults.

    A parameter that the release does not have is without effect, as on a real robot.
    """

    release: ControllerRelease = ControllerRelease.KILTED
    allow_trajectory_replacement: bool = True  # Rolling: a new trajectory is joined to the running one
    interpolate_from_desired_state: bool = False  # Jazzy and later: start from the last command
    open_loop_control: bool = False  # Humble and Jazzy: the same under its older name
    positions_upsampling: bool = False  # Rolling: positions_upsampling.enable
    policy_frequency: float = 0.0  # [Hz] Rolling: positions_upsampling.policy_frequency; 0: none
    parallel_grippers: bool = False  # the grippers have a parallel_gripper_controller

    @property
    def joins_trajectories(self) -> bool:
        """Whether a new trajectory is joined to the running one instead of replacing it."""
        return self.release is ControllerRelease.ROLLING and self.allow_trajectory_replacement

    @property
    def upsamples(self) -> bool:
        """Whether points without velocities get those of a cubic spline."""
        return self.release is ControllerRelease.ROLLING and self.positions_upsampling

    @property
    def starts_from_command(self) -> bool:
        """Whether a trajectory whose first point is in the future starts from the last command."""
        if self.release is ControllerRelease.HUMBLE:
            return self.open_loop_control
        opened = self.release is ControllerRelease.JAZZY and self.open_loop_control
        return self.interpolate_from_desired_state or opened

    @property
    def looks_ahead(self) -> bool:
        """Whether the command is the sample one period ahead; on Humble it is the sample now."""
        return self.release is not ControllerRelease.HUMBLE

    @property
    def may_end_moving(self) -> bool:
        """The default of allow_nonzero_velocity_at_trajectory_end."""
        return self.release is ControllerRelease.HUMBLE
