# SPDX-License-Identifier: Apache-2.0
"""Training recipes: from the simulator, or from demonstrations alone, to a checkpoint in one command.

`dit_policy train --recipe NAME` runs them.
"""

from dit_policy_ros.training.recipes._cube_tasks import CubeTasksConfig, run_recipe
from dit_policy_ros.training.recipes._demonstrations import DemonstrationsConfig, run_demonstrations

__all__ = ["CubeTasksConfig", "DemonstrationsConfig", "run_demonstrations", "run_recipe"]
