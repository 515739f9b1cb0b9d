# SPDX-License-Identifier: Apache-2.0
"""Episodes and incidents in Rerun, a viewer for robots' data that LeRobot uses, too. It is optional."""

from dit_policy_ros.evaluation.view._episode import log_episode
from dit_policy_ros.evaluation.view._incident import log_incident
from dit_policy_ros.evaluation.view._recording import Recording, open_recording

__all__ = ["Recording", "log_episode", "log_incident", "open_recording"]
