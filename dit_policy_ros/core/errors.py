# SPDX-License-Identifier: Apache-2.0
"""One family of exceptions for everything that a user can mend."""


class DitPolicyError(Exception):
    """A user's mistake or a fault of the robot's surroundings; the message says what to do about it.

    Broken invariants of this package's own code raise ValueError instead.
    """


class ContractError(DitPolicyError):
    """The robot contract (joints, controllers, cameras, limits) is malformed or contradicts itself."""


class ParameterError(DitPolicyError):
    """A ROS parameter is unknown, has the wrong type or lies outside its range."""


class CheckpointError(DitPolicyError):
    """A checkpoint is missing, damaged, of another kind, or does not fit the robot contract."""


class StreamError(DitPolicyError):
    """A message of a sensor stream cannot be used (wrong names, lengths, encoding, NaN)."""


class StaleObservation(DitPolicyError):
    """A stream has not been heard of, or not recently enough, to observe the robot."""


class TaskError(DitPolicyError):
    """A task instruction cannot be used."""


class PlanRejected(DitPolicyError):
    """A chunk or a plan breaks a rule that protects the robot; nothing of it was sent."""


class IncidentError(DitPolicyError):
    """An incident cannot be written or read."""


class DatasetError(DitPolicyError):
    """A dataset cannot be created, opened, extended or read."""


class SimulationError(DitPolicyError):
    """The simulator cannot run (no renderer, unknown task, bad scene)."""
