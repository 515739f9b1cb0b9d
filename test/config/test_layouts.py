# SPDX-License-Identifier: Apache-2.0
"""The layouts for Foxglove and PlotJuggler show only topics, fields and services that exist."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.msg import PolicyStatus

CONFIG = Path(__file__).parents[2] / "config"
CONTRACT = parse_contract(
    yaml.safe_load((CONFIG / "bimanual.yaml").read_text())["/**"]["ros__parameters"], ""
)
STATUS = set(PolicyStatus.get_fields_and_field_types())
OURS = ("/policy/commanded", "/policy/shadow/error")  # joints in the contract's order
POSES = (*OURS, "/joint_states")  # joint_states in another order
SERVICES = {"/policy/e_stop": SetBool, "/policy/resume": Trigger, "/policy/save_incident": Trigger}
FOXGLOVE = json.loads((CONFIG / "foxglove_layout.json").read_text())
PLOTJUGGLER = ElementTree.parse(CONFIG / "plotjuggler_layout.xml").getroot()

# The panels' settings, from the sources of Lichtblick, the open fork of Foxglove Studio (types.ts and
# config.ts of each panel in packages/suite-base/src/panels). Unknown settings are ignored without a message.
TITLE = {"foxglovePanelTitle"}
SERIES = {"value", "label", "color", "enabled", "timestampMethod"}
PANELS = {
    "StateTransitions": TITLE | {"paths", "isSynced", "xAxisRange", "showPoints"},
    "DiagnosticSummary": TITLE
    | {"minLevel", "pinnedIds", "topicToRender", "hardwareIdFilter", "sortByLevel", "secondsUntilStale"},
    "RosOut": TITLE | {"searchTerms", "minLogLevel", "topicToRender", "nameFilter"},
    "Image": TITLE | {"imageMode"},
    "Plot": TITLE
    | {"paths", "isSynced", "showXAxisLabels", "showYAxisLabels", "showLegend", "legendDisplay"}
    | {"showPlotValuesInLegend", "xAxisVal", "followingViewWidth", "minYValue", "maxYValue"},
    "CallService": TITLE
    | {"serviceName", "requestPayload", "layout", "buttonText", "buttonTooltip", "buttonColor"},
}


def panels(tree: dict | str) -> list[str]:
    return [tree] if isinstance(tree, str) else panels(tree["first"]) + panels(tree["second"])


def test_every_foxglove_panel_is_configured_and_placed_once():
    assert sorted(panels(FOXGLOVE["layout"])) == sorted(FOXGLOVE["configById"])


@pytest.mark.parametrize("panel", FOXGLOVE["configById"])
def test_every_foxglove_setting_exists_in_its_panel(panel):
    config = FOXGLOVE["configById"][panel]
    assert set(config) <= PANELS[panel.partition("!")[0]]
    assert all(set(path) <= SERIES for path in config.get("paths", []))


def series() -> list[str]:
    return [p["value"] for c in FOXGLOVE["configById"].values() for p in c.get("paths", [])]


@pytest.mark.parametrize("path", series())
def test_every_foxglove_series_exists(path):
    if path.startswith("/policy/status."):
        assert path.removeprefix("/policy/status.") in STATUS
        return
    topic, field, index = re.fullmatch(r"(.+)\.(\w+)\[(\d+)\]", path).groups()
    assert topic in OURS and field in JointState.get_fields_and_field_types()
    assert int(index) < CONTRACT.action_dim


def test_foxglove_labels_name_the_right_joints():
    for config in FOXGLOVE["configById"].values():
        for path in config.get("paths", []):
            if found := re.search(r"position\[(\d+)\]", path["value"]):
                assert path["label"].split()[0] == CONTRACT.joints[int(found[1])]


def test_foxglove_images_and_services_exist():
    cameras = {f"/{camera.topic}" for camera in CONTRACT.cameras}
    images = [c["imageMode"]["imageTopic"] for c in FOXGLOVE["configById"].values() if "imageMode" in c]
    assert set(images) == cameras
    calls = [c for c in FOXGLOVE["configById"].values() if "serviceName" in c]
    assert {call["serviceName"] for call in calls} == set(SERVICES)
    for call in calls:
        request = SERVICES[call["serviceName"]].Request
        assert set(json.loads(call["requestPayload"])) == set(request.get_fields_and_field_types())


def curves() -> list[str]:
    return sorted({curve.get("name") for curve in PLOTJUGGLER.iter("curve")})


@pytest.mark.parametrize("name", curves())
def test_every_plotjuggler_curve_exists(name):
    if name.startswith("/policy/status/"):
        assert name.removeprefix("/policy/status/") in STATUS
        return
    topic, joint, field = name.rsplit("/", 2)
    assert topic in POSES and joint in CONTRACT.joints and field == "position"


def test_plotjuggler_shows_every_commanded_and_measured_joint():
    for joint in CONTRACT.joints:
        assert {f"/policy/commanded/{joint}/position", f"/joint_states/{joint}/position"} <= set(curves())


def test_plotjuggler_splitters_have_the_right_counts():
    for splitter in PLOTJUGGLER.iter("DockSplitter"):
        assert len(splitter) == int(splitter.get("count")) == len(splitter.get("sizes").split(";"))
