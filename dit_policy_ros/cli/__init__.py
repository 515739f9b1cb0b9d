# SPDX-License-Identifier: Apache-2.0
"""Console programs: parse, call, print."""
