# SPDX-License-Identifier: Apache-2.0
"""`python -m tools.pictures [NAME ...]`: draws pictures of the documentation anew, all by default."""

import argparse
import importlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
# Each with the module and the function that draws it, and what it is drawn from. A module is imported when it
# is needed: the film needs torch and MuJoCo, the panel a browser.
PICTURES: dict[str, tuple[str, str, tuple[Path, ...]]] = {
    "processes.svg": ("_architecture", "draw_processes", ()),
    "chunk.svg": ("_architecture", "draw_chunk", ()),
    "layers.svg": ("_architecture", "draw_layers", (ROOT / "dit_policy_ros",)),
    "confusion.png": ("_figures", "draw_confusion", (IMAGES / "evaluation.json",)),
    "defaults.png": ("_figures", "draw_defaults", (ROOT / "docs" / "results.md",)),
    "robot.png": ("_film", "draw_robot", ()),
    "instructions.webp": ("_film", "film_instructions", ()),
    "inspect.png": ("_programs", "draw_inspection", ()),
    "sheet.jpg": ("_programs", "draw_sheet", ()),
    "streaming.png": ("_programs", "draw_streaming", ()),
    "panel_recording.png": ("_panel", "photograph_recording", ()),
    "panel_recording_phone.png": ("_panel", "photograph_recording", ()),
    "panel_failed_check.png": ("_panel", "photograph_recording", ()),
    "panel_failed_check_phone.png": ("_panel", "photograph_recording", ()),
    "panel_hold.png": ("_panel", "photograph_policy", ()),
    "panel_hold_phone.png": ("_panel", "photograph_policy", ()),
    "panel_phone.png": ("_panel", "photograph_policy", ()),
    "panel_intervention.png": ("_panel", "photograph_intervention", ()),
    "panel_intervention_phone.png": ("_panel", "photograph_intervention", ()),
    "transfer_cube.jpg": ("_programs", "copy_transfer_cube", ()),  # last: it may be missing
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}; default: all")
    names = parser.parse_args().names or list(PICTURES)
    if unknown := sorted(set(names) - set(PICTURES)):
        parser.error(f"unknown: {', '.join(unknown)}; expected {', '.join(PICTURES)}")
    for name in names:
        module, function, sources = PICTURES[name]
        getattr(importlib.import_module(f"tools.pictures.{module}"), function)(*sources, IMAGES / name)
        print(IMAGES / name)


if __name__ == "__main__":
    main()
