# SPDX-License-Identifier: Apache-2.0
"""What starts the nodes. Help and mistakes in the arguments are answered before MuJoCo is imported."""
