# SPDX-License-Identifier: Apache-2.0
"""Commands that make one checkpoint of another."""
