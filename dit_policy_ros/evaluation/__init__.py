# SPDX-License-Identifier: Apache-2.0
"""What the console programs do with nodes, policies and the simulator: start them, evaluate, film and report.

Above ``ros/``, below ``cli/``: this package does the work, ``cli/`` parses options and prints.
"""
