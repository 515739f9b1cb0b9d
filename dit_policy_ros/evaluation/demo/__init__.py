# SPDX-License-Identifier: Apache-2.0
"""The demo: what it watches, shows and summarises."""

from dit_policy_ros.evaluation.demo._display import Display, distance_text
from dit_policy_ros.evaluation.demo._summary import cpu_seconds, summarize, tables, write
from dit_policy_ros.evaluation.demo._view import DemoView

__all__ = ["DemoView", "Display", "cpu_seconds", "distance_text", "summarize", "tables", "write"]
