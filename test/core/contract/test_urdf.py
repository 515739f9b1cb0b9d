# SPDX-License-Identifier: Apache-2.0
"""Joint limits from a URDF, and combined with those of the contract."""

import copy
import math

import pytest
from contracts import SMALL_MAPPING

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import ContractError

URDF = """
<robot name="small">
  <joint name="shoulder" type="revolute"><limit lower="-1.5" upper="1.25" velocity="3.0" effort="1"/></joint>
  <joint name="elbow" type="continuous"><limit velocity="4.0" effort="1"/></joint>
  <joint name="finger" type="prismatic"><limit lower="0.0" upper="0.04" velocity="0.2" effort="1"/></joint>
  <joint name="plate" type="fixed"/>
</robot>
"""


@pytest.fixture
def urdf(tmp_path):
    path = tmp_path / "robot.urdf"
    path.write_text(URDF)
    return path


def mapping(urdf, **limits):
    """The small robot with acceleration limits only, and with what a test adds."""
    changed = copy.deepcopy(SMALL_MAPPING) | {"urdf": str(urdf)}
    changed["limits"] = {
        joint: {"acceleration": 8.0} | limits.get(joint, {}) for joint in SMALL_MAPPING["joints"]
    }
    return changed


def test_limits_missing_in_the_contract_come_from_the_urdf(urdf):
    limits = parse_contract(mapping(urdf), "test").limits
    assert limits.position_min.tolist() == [-1.5, 0.0, -math.inf]
    assert limits.position_max.tolist() == [1.25, 0.04, math.inf]
    assert limits.velocity.tolist() == [3.0, 0.2, 4.0]
    assert limits.continuous.tolist() == [False, False, True]
    assert limits.prismatic.tolist() == [False, True, False]


def test_the_contract_may_be_stricter(urdf):
    contract = parse_contract(mapping(urdf, shoulder={"position_max": 1.0, "velocity": 0.5}), "test")
    assert (contract.limits.position_max[0], contract.limits.velocity[0]) == (1.0, 0.5)
    elbow = {"continuous": False, "position_min": -1.0, "position_max": 1.0}
    assert not parse_contract(mapping(urdf, elbow=elbow), "test").limits.continuous.any()


@pytest.mark.parametrize(
    ("joint", "change", "words"),
    [
        (
            "shoulder",
            {"prismatic": True},
            ["limits.shoulder.prismatic", "False, as the URDF says", "True"],
        ),
        ("finger", {"prismatic": False}, ["limits.finger.prismatic", "True, as the URDF says", "False"]),
        (
            "shoulder",
            {"position_min": -2.0},
            ["limits.shoulder.position_min", "within the URDF's limit -1.5", "-2"],
        ),
        ("shoulder", {"position_max": 2.0}, ["limits.shoulder.position_max", "1.25"]),
        ("finger", {"velocity": 0.3}, ["limits.finger.velocity", "0.2"]),
        ("shoulder", {"continuous": True}, ["limits.shoulder.position_max", "1.25", "inf"]),
        ("elbow", {"position_min": -1.0}, ["limits.elbow.position_min", "continuous joint"]),
        ("shoulder", {"acceleration": "fast"}, ["limits.shoulder.acceleration"]),
    ],
)
def test_limits_beyond_the_urdf_are_refused(urdf, joint, change, words):
    with pytest.raises(ContractError) as caught:
        parse_contract(mapping(urdf, **{joint: change}), "test")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read as a URDF"),
        ("<robot", "cannot be read as a URDF"),
        ("<sdf/>", "its root is <sdf>"),
        ('<robot><joint name="a" type="prismatic"><limit lower="x"/></joint></robot>', "lower of joint a"),
        ('<robot><joint name="a" type="prismatic"><limit upper="1_0"/></joint></robot>', "upper of joint a"),
        (
            '<robot><joint name="a" type="prismatic"/><joint name="a" type="revolute"/></robot>',
            "has two joints named 'a'",
        ),
    ],
)
def test_an_invalid_urdf_is_reported_with_all_other_mistakes(tmp_path, text, words):
    path = tmp_path / "wrong.urdf"
    if text is not None:
        path.write_text(text)
    wrong = mapping(path) | {"fps": -1.0}
    with pytest.raises(ContractError) as caught:
        parse_contract(wrong, "test")
    assert words in str(caught.value) and str(path) in str(caught.value) and "fps" in str(caught.value)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
@pytest.mark.parametrize("limits", [{}, {"shoulder": {"velocity": 0.5}}])
def test_a_velocity_in_the_urdf_is_checked_like_one_in_the_contract(urdf, value, limits):
    """With 0 the joint would never move; NaN and inf would be no limit."""
    urdf.write_text(URDF.replace('velocity="3.0"', f'velocity="{value}"'))
    with pytest.raises(ContractError) as caught:
        parse_contract(mapping(urdf, **limits), "test")
    text = str(caught.value)
    assert "urdf: velocity of joint shoulder: expected a finite number above 0" in text
    assert f"got {float(value)}" in text and "Correct the URDF" in text
    assert "1 problem" in text, "the mistake is named once"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(("attribute", "was"), [("lower", "-1.5"), ("upper", "1.25")])
@pytest.mark.parametrize("limits", [{}, {"shoulder": {"position_min": -1.0, "position_max": 1.0}}])
def test_a_position_in_the_urdf_is_checked_like_one_in_the_contract(urdf, attribute, was, value, limits):
    urdf.write_text(URDF.replace(f'{attribute}="{was}"', f'{attribute}="{value}"'))
    with pytest.raises(ContractError, match=f"urdf: {attribute} of joint shoulder: .* got {float(value)}"):
        parse_contract(mapping(urdf, **limits), "test")


def test_position_limits_of_a_continuous_joint_mean_nothing(urdf):
    urdf.write_text(URDF.replace("<limit velocity", '<limit lower="nan" upper="0" velocity'))
    assert parse_contract(mapping(urdf), "test").limits.continuous[2]


def test_a_joint_that_the_robot_does_not_use_may_be_wrong(urdf):
    more = '<joint name="spare" type="revolute"><limit lower="0" upper="0" velocity="0"/></joint></robot>'
    urdf.write_text(URDF.replace("</robot>", more))
    parse_contract(mapping(urdf), "test")


def test_a_joint_that_is_not_in_the_urdf_needs_all_limits(tmp_path):
    path = tmp_path / "empty.urdf"
    path.write_text("<robot/>")
    with pytest.raises(ContractError, match=r"limits\.shoulder\.position_min: expected a finite number"):
        parse_contract(mapping(path), "test")


def test_the_shipped_contract_is_within_the_limits_of_the_shipped_urdf():
    from simulated_motion import CONTRACT

    from dit_policy_ros.core.contract._urdf import read_urdf
    from dit_policy_ros.core.share import share_directory

    joints = read_urdf(share_directory() / "urdf" / "bimanual.urdf")
    for i, name in enumerate(CONTRACT.joints):
        assert joints[name].position_min <= CONTRACT.limits.position_min[i]
        assert joints[name].position_max >= CONTRACT.limits.position_max[i]
        assert joints[name].velocity >= CONTRACT.limits.velocity[i]


def test_an_unreadable_urdf_is_one_mistake_and_not_one_for_each_limit(tmp_path):
    with pytest.raises(ContractError) as caught:
        parse_contract(mapping(tmp_path / "absent.urdf"), "test")
    assert "cannot be read as a URDF" in str(caught.value) and "1 problem" in str(caught.value)


def test_a_urdf_is_found_at_home_and_in_an_installed_package(urdf, monkeypatch):
    monkeypatch.setenv("HOME", str(urdf.parent))
    expected = parse_contract(mapping(urdf), "test").limits.velocity
    found = parse_contract(mapping(f"~/{urdf.name}"), "test").limits.velocity
    assert found.tolist() == expected.tolist()
    share = urdf.parent / "install" / "share" / "my_robot" / "urdf"
    share.mkdir(parents=True)
    (share / "arm.urdf").write_text(urdf.read_text())
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{urdf.parent / 'install'}")
    found = parse_contract(mapping("package://my_robot/urdf/arm.urdf"), "test").limits.velocity
    assert found.tolist() == expected.tolist()
    with pytest.raises(ContractError, match=r"no installed package 'their_robot' has this file.*Source the"):
        parse_contract(mapping("package://their_robot/urdf/arm.urdf"), "test")
