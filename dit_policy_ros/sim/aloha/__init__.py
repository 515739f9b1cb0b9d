# SPDX-License-Identifier: Apache-2.0
"""ALOHA's transfer cube: gym-aloha's reward and initial distribution, and a scripted operator."""

from dit_policy_ros.sim.aloha._scripted import OPEN, ScriptedTransfer
from dit_policy_ros.sim.aloha._transfer_cube import INSTRUCTION, TIME_LIMIT, TransferCube, initial_cube

__all__ = ["INSTRUCTION", "OPEN", "TIME_LIMIT", "ScriptedTransfer", "TransferCube", "initial_cube"]
