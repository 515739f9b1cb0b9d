# SPDX-License-Identifier: Apache-2.0
"""The exceptions for everything that a user can fix."""


class DitPolicyError(Exception):
    """A user's mistake or a fault around the robot; the message says what to do.

    Broken invariants of this package's own code raise ValueError instead.
    """


class ContractError(DitPolicyError):
    """The robot contract (joints, controllers, cameras, limits) is malformed or contradicts itself."""


class ParameterError(DitPolicyError):
    """A ROS parameter is unknown, has the wrong type or is out of range."""


class CheckpointError(DitPolicyError):
    """A checkpoint is missing, damaged, of the wrong type, or does not fit the robot contract."""


class StreamError(DitPolicyError):
    """A message of a sensor stream cannot be used (wrong names, lengths, encoding, NaN)."""


class PoseError(DitPolicyError):
    """A pose cannot be used: it is no rotation, or outside of what the contract allows."""


class StaleObservation(DitPolicyError):
    """A sensor stream has delivered nothing, or nothing recent enough."""


class TaskError(DitPolicyError):
    """A task instruction cannot be used."""


class PlanRejected(DitPolicyError):
    """A chunk or a plan breaks a rule that protects the robot; nothing of it was sent."""


class IncidentError(DitPolicyError):
    """An incident cannot be written or read."""


class DatasetError(DitPolicyError):
    """A dataset cannot be created, opened, extended or read."""


class HubError(DitPolicyError):
    """Nothing can be put on the Hugging Face hub: no login, no right, no connection, a wrong name."""


class SimulationError(DitPolicyError):
    """The simulator cannot run (no renderer, unknown task, bad scene)."""


class CalibrationError(DitPolicyError):
    """A latency cannot be measured: nothing moved, or the measurement is not to be trusted."""
