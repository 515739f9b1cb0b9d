# SPDX-License-Identifier: Apache-2.0
"""Training recipes: from the simulator to a checkpoint in one command.

`dit_policy train --recipe NAME` runs them.
"""

from dit_policy_ros.training.recipes._cube_tasks import CubeTasksConfig, run_recipe

__all__ = ["CubeTasksConfig", "run_recipe"]
