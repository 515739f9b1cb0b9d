# SPDX-License-Identifier: Apache-2.0
"""The command lines of `dit_policy train`: its own, and those of its recipes."""

from dit_policy_ros.cli.train_options._options import make_parser, pair, read_options

__all__ = ["make_parser", "pair", "read_options"]
