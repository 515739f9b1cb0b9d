#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command with ROS, .venv and the workspace sourced.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /ws/src/dit_policy_ros/.venv/bin/activate
source /ws/install/setup.bash
exec "$@"
