# SPDX-License-Identifier: Apache-2.0
"""The command that shows recorded data in a viewer."""
