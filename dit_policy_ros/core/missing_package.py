# SPDX-License-Identifier: Apache-2.0
"""What to do about a Python package that is not installed."""

import sys
from pathlib import Path

# The profile of `make setup` that brings a package; every other one comes with dev, the default.
PROFILES = {
    **dict.fromkeys(("av", "cv2", "httpx", "nicegui", "numpy", "PIL", "pyarrow", "rich", "yaml"), "robot"),
    **dict.fromkeys(("datasets", "lerobot", "matplotlib", "pandas", "rosbags"), "record"),
    **dict.fromkeys(("huggingface_hub", "safetensors", "tokenizers", "torch", "transformers"), "inference"),
    **dict.fromkeys(("daqp", "mink", "mujoco"), "sim"),
    **dict.fromkeys(("accelerate", "diffusers", "tensorboard", "torchvision"), "train"),
}


def missing_package(error: ModuleNotFoundError) -> str:
    """One sentence with the command that brings the package which an import did not find."""
    package = (error.name or str(error)).partition(".")[0]
    if package == "dit_policy_ros":
        return (
            f"{error}: this package is not built. Run make setup in the checkout, or colcon build in the "
            "workspace"
        )
    if sys.prefix != sys.base_prefix:  # a virtual environment is active, but without the package
        return (
            f"the Python package {package!r} is not installed in {sys.prefix}. Run `make setup "
            f"PROFILE={PROFILES.get(package, 'dev')}` in the checkout, which adds it, then start again"
        )
    places = [folder for file in (sys.argv[0], __file__) for folder in Path(file).resolve().parents]
    environment = next((p / ".venv" for p in places if (p / ".venv/bin/activate").is_file()), Path(".venv"))
    return (
        f"the Python package {package!r} is not installed for {sys.executable}. Run `source "
        f"{environment}/bin/activate` in this terminal (make setup makes it, in the checkout), then start "
        "again"
    )
