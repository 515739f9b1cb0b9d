#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints the path of a Python 3.12 that can make virtual environments. Set PYTHON=/path/to/python3.12 to choose one.
set -u

works() {  # PATH may contain the shim of an inactive pyenv version, so each candidate is run
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 12))' >/dev/null 2>&1
}

# With ROS 2 sourced, it must be the Python that ROS was built for.
fits_ros() {
  [ -z "${ROS_DISTRO:-}" ] || "$1" -c 'import rclpy' >/dev/null 2>&1
}

shopt -s nullglob
candidates=(
  ${PYTHON:+"$PYTHON"}
  "$(command -v python3.12 || true)"
  "$(command -v python3 || true)"
  /usr/bin/python3.12 /usr/bin/python3 /usr/local/bin/python3.12
  "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python3.12
  "${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}"/cpython-3.12*/bin/python3.12
)
for candidate in "${candidates[@]}"; do
  if [ -n "$candidate" ] && works "$candidate" && fits_ros "$candidate"; then
    echo "$candidate"
    exit 0
  fi
done

{
  echo "No usable Python 3.12 was found${ROS_DISTRO:+ that can import rclpy of ROS $ROS_DISTRO}. Looked at:"
  for candidate in "${candidates[@]}"; do
    [ -n "$candidate" ] && echo "  $candidate ($("$candidate" --version 2>&1 | head -n 1))"
  done
  echo "Install one in any of these ways, then run the same command again:"
  echo "  sudo apt install python3.12 python3.12-venv python3.12-dev     (Ubuntu 24.04)"
  echo "  pyenv install 3.12"
  echo "  uv python install 3.12"
  echo "  PYTHON=/path/to/python3.12 make ..."
} >&2
exit 1
