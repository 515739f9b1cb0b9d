# SPDX-License-Identifier: Apache-2.0
"""The pictures of the documentation show what the repository has."""

import importlib
import inspect
import json
import re

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

import matplotlib

from tools.pictures import _panel
from tools.pictures.__main__ import IMAGES, PICTURES, ROOT
from tools.pictures._architecture import LAYERS, draw_chunk, packages_of, wrapped
from tools.pictures._figures import DEFAULTS, read_settings

MOST_BYTES = 3_000_000  # of the film, which opens the first page


def test_every_picture_has_a_maker_and_a_page_that_shows_it():
    sources = {path.name for _, _, given in PICTURES.values() for path in given if path.parent == IMAGES}
    assert {path.name for path in IMAGES.iterdir()} == {*PICTURES, *sources}
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    shown = {name for page in pages for name in re.findall(r"\]\([./\w]*images/([^)]+)\)", page.read_text())}
    assert shown == set(PICTURES)
    assert (IMAGES / "instructions.webp").stat().st_size < MOST_BYTES


def test_every_maker_can_be_called():
    for needed in ("lerobot", "mujoco", "rclpy", "torch"):
        pytest.importorskip(needed, reason=f"{needed} is not installed")
    for module, function, sources in PICTURES.values():
        made = importlib.import_module(f"tools.pictures.{module}")
        assert len(inspect.signature(getattr(made, function)).parameters) == len(sources) + 1


def test_the_tests_of_the_panel_take_its_pictures():
    makers = {
        "photograph_recording": _panel.RECORDING,
        "photograph_policy": _panel.RUNNING,
        "photograph_intervention": _panel.INTERVENTION,
    }
    for picture, (module, maker, _) in PICTURES.items():
        if module == "_panel":
            file, _, test = makers[maker].partition("::")
            text = (ROOT / file).read_text()
            name = picture.removeprefix("panel_").removesuffix(".png").removesuffix("_phone")
            assert f"def {test}(" in text and re.search(rf'"(panel_)?{name}"', text), picture


@pytest.mark.slow
def test_what_keeps_a_picture_from_being_made_is_said(tmp_path):
    skips, fails = tmp_path / "test_skips.py", tmp_path / "test_fails.py"
    skips.write_text("import pytest\ndef test_a():\n    pytest.skip('no browser')\n")
    fails.write_text("def test_a():\n    assert 1 == 2\n")
    with pytest.raises(SystemExit) as ended:
        _panel.run_test(f"{skips}::test_a")
    assert str(ended.value) == "no picture: no browser"
    with pytest.raises(SystemExit) as ended:
        _panel.run_test(f"{fails}::test_a")
    assert "test_a failed" in str(ended.value) and "assert 1 == 2" in str(ended.value)


def test_the_layers_are_drawn_as_the_folders_are():
    drawn = (IMAGES / "layers.svg").read_text()
    missing = [
        name
        for layer in LAYERS
        for name in (layer, *packages_of(ROOT / "dit_policy_ros" / layer))
        if not re.search(rf"\b{name}\b", drawn)
    ]
    assert missing == [], "run: make pictures ARGS=layers.svg"
    folders = {each.name for each in (ROOT / "dit_policy_ros").iterdir() if (each / "__init__.py").is_file()}
    assert set(LAYERS) == folders - {"msg", "srv"}


def test_no_page_has_a_picture_that_a_script_of_another_site_would_draw():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    written = [page for page in pages if "generated" not in page.parts]  # those are made from these
    assert [page.name for page in written if "```mermaid" in page.read_text()] == []


def test_the_settings_drawn_are_those_of_the_table():
    settings = read_settings(ROOT / "docs" / "results.md")
    assert len(settings) == 18
    assert {each.name for each in settings} >= set(DEFAULTS)
    assert all(each.low <= each.rate <= each.high for each in settings)


def test_the_confusion_matrix_has_the_figures_of_the_results():
    matrix = json.loads((IMAGES / "evaluation.json").read_text())["confusion"]
    assert sum(sum(row.values()) for row in matrix.values()) == 1050
    assert sum(row[asked] for asked, row in matrix.items()) == 1029
    assert sum(row.get("(nothing)", 0) for row in matrix.values()) == 17


def test_a_picture_does_not_depend_on_what_was_drawn_before(tmp_path):
    before = dict(matplotlib.rcParams)
    draw_chunk(tmp_path / "chunk.svg")
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "path"}):
        draw_chunk(tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == (tmp_path / "chunk.svg").read_text()


def test_names_are_wrapped_between_words():
    assert wrapped(["one", "two", "three"], 8) == ["one, two", "three"]
