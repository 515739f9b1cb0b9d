# SPDX-License-Identifier: Apache-2.0
"""The demo: a policy follows one instruction after another, shown live, filmed and summarized."""

from dit_policy_ros.evaluation.demo._display import DemoDisplay
from dit_policy_ros.evaluation.demo._run import DemoSettings, run_demo
from dit_policy_ros.evaluation.demo._summary import summary_tables, write_summary

__all__ = [
    "DemoDisplay",
    "DemoSettings",
    "run_demo",
    "summary_tables",
    "write_summary",
]
