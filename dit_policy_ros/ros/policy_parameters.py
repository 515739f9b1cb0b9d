# SPDX-License-Identifier: Apache-2.0
"""Parameters of the policy node, and what they mean for the parts that it is built from."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.ensemble import EnsembleMode, EnsembleSettings
from dit_policy_ros.core.pipeline import MotionSettings
from dit_policy_ros.ros.parameter_table import Parameter

_MODES = tuple(mode.value for mode in EnsembleMode)

# They are read when the node is configured, so all of them are read-only while it runs.
POLICY_PARAMETERS = tuple(
    Parameter(*entry, read_only=True, **more)
    for entry, more in (
        (("checkpoint", str, "", "folder of the checkpoint (LeRobot's multi_task_dit format)"), {}),
        (("device", str, "auto", "where to infer: auto, cpu, cuda or cuda:<n>"), {}),
        (("num_threads", int, 1, "CPU threads of inference", "threads", 1, 256), {}),
        (
            (
                "inference_steps",
                int,
                0,
                "denoising or integration steps; 0: the checkpoint's",
                "steps",
                0,
                1000,
            ),
            {},
        ),
        (("warm_up_chunks", int, 12, "inferences before the latency is judged", "chunks", 3, 1000), {}),
        (("task", str, "", "instruction at the start; ~/set_task changes it"), {}),
        (
            ("control_rate", float, 50.0, "how often freshness and progress are watched", "Hz", 5.0, 1000.0),
            {},
        ),
        (("replan_interval", float, 0.1, "shortest time between two inferences", "s", 0.0, 10.0), {}),
        (
            ("max_blind_time", float, 0.5, "how long the arms can move after this node died", "s", 0.1, 5.0),
            {},
        ),
        (("soft_start", float, 1.0, "the first motion is blended in over this time", "s", 0.0, 10.0), {}),
        (("fade_knots", int, 5, "knots over which a new chunk is faded in", "knots", 0, 100), {}),
        (
            (
                "max_tracking_error",
                float,
                0.5,
                "where an arm joint is further off, HOLD starts from where it is",
            ),
            {"unit": "rad", "low": 0.01, "high": 10.0},
        ),
        (("stream_timeout", float, 5.0, "how long activation waits for streams", "s", 0.0, 600.0), {}),
        (
            ("recovery_time", float, 0.5, "all must be well this long before motion resumes", "s", 0.0, 60.0),
            {},
        ),
        (("ensemble.mode", str, "act", "how live chunks become one motion"), {"choices": _MODES}),
        (
            (
                "ensemble.m",
                float,
                0.01,
                "act: decay of the weights, oldest first; 0 weighs all alike",
                "",
                0.0,
                100.0,
            ),
            {},
        ),
        (
            ("ensemble.disagreement", float, 0.3, "act: arm joints spread further are not averaged"),
            {"unit": "rad", "low": 0.001, "high": 100.0},
        ),
    )
)


def motion_settings(settings: Mapping[str, Any], contract: Contract) -> MotionSettings:
    """How chunks become motion, from the parameters. Grippers are exempt from averaging and from the gate."""
    gripper = contract.gripper_mask  # (A,)
    return MotionSettings(
        ensemble=EnsembleSettings(
            mode=EnsembleMode(settings["ensemble.mode"]),
            m=settings["ensemble.m"],
            newest_wins=gripper,
            disagreement=np.where(gripper, np.inf, settings["ensemble.disagreement"]),  # (A,)
            group=np.zeros(contract.action_dim, dtype=np.int64),  # (A,) both arms are coupled
        ),
        max_blind_time=settings["max_blind_time"],
        fade_knots=settings["fade_knots"],
        soft_start=settings["soft_start"],
        # A gripper that squeezes an object never arrives where it was told to go: that is its grip.
        max_tracking_error=np.where(gripper, np.inf, settings["max_tracking_error"]),  # (A,)
    )


def policy_overrides(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the checkpoint that the parameters override."""
    overrides: dict[str, Any] = {"num_threads": settings["num_threads"]}
    if settings["inference_steps"]:
        overrides["sampling_steps"] = settings["inference_steps"]
    return overrides
