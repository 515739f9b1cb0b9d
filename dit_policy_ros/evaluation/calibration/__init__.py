# SPDX-License-Identifier: Apache-2.0
"""Measures the latencies of a robot's arms and cameras, and writes them into its contract."""

from dit_policy_ros.evaluation.calibration._contract_update import updated_contract, write_latencies
from dit_policy_ros.evaluation.calibration._measurement import (
    CalibrationSettings,
    Measurement,
    calibrate,
    planned_motions,
)
from dit_policy_ros.evaluation.calibration._plot import plot_measurement
from dit_policy_ros.evaluation.calibration._results import Latencies, evaluate

__all__ = [
    "CalibrationSettings",
    "Latencies",
    "Measurement",
    "calibrate",
    "evaluate",
    "planned_motions",
    "plot_measurement",
    "updated_contract",
    "write_latencies",
]
