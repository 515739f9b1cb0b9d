# SPDX-License-Identifier: Apache-2.0
"""Makes the pictures of the documentation: `make pictures`, or `python -m tools.pictures NAME ...`."""
