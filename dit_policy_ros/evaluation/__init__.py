# SPDX-License-Identifier: Apache-2.0
"""Evaluation and demo: they start the nodes, watch them and report. Above ros/, below cli/."""
