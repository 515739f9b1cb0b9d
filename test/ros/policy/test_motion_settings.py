# SPDX-License-Identifier: Apache-2.0
"""How the policy node's parameters become settings of the motion path."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from simulated_motion import CONTRACT

pytest.importorskip("rclpy", reason="rclpy is not installed")
from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.ros.policy import POLICY_PARAMETERS, motion_settings
from dit_policy_ros.ros.policy._settings import (
    available_memory,
    check_incident_memory,
    fade_knots,
    idle_motion,
)

DEFAULTS = {entry.name: entry.default for entry in POLICY_PARAMETERS}
# The first joint of each arm slides.
LIFTS = replace(CONTRACT, limits=replace(CONTRACT.limits, prismatic=np.arange(CONTRACT.action_dim) % 7 == 0))


@dataclass
class Pictures:
    """What a policy says about its images."""

    n_obs_steps: int = 2
    image_shapes: dict = field(default_factory=lambda: dict.fromkeys(CONTRACT.camera_names, (240, 320)))


@pytest.mark.parametrize(
    ("changes", "gigabytes"),
    [
        ({}, 3 * 240 * 320 * 3 * 20 * 600e-9),  # two new frames of each camera in 0.1 s
        ({"replan_interval": 0.0}, 3 * 240 * 320 * 3 * 30 * 600e-9),  # never more than there are
        ({"replan_interval": 1.0}, 3 * 240 * 320 * 3 * 2 * 600e-9),
    ],
)
def test_incident_seconds_are_bounded_by_the_memory(changes, gigabytes):
    defaults = {entry.name: entry.default for entry in POLICY_PARAMETERS} | changes
    long = defaults | {"incident_seconds": 600.0}
    check_incident_memory(long, CONTRACT, Pictures(), available=2.01e9 * gigabytes)
    with pytest.raises(ParameterError) as caught:
        check_incident_memory(long, CONTRACT, Pictures(), available=1.0e9 * gigabytes)
    text = str(caught.value)
    assert f"600 s of images take {gigabytes:.1f} GB of memory (3 cameras" in text
    assert "Expected at most 300 s" in text and f"half of the {gigabytes:.1f} GB" in text
    check_incident_memory(defaults | {"incident_seconds": 300.0}, CONTRACT, Pictures(), 1.01e9 * gigabytes)
    check_incident_memory(defaults | {"incident_seconds": 0.0}, CONTRACT, Pictures(), available=0.0)


def test_the_memory_of_this_computer_is_read():
    assert 1e6 < available_memory() < 1e15


def settings(contract=CONTRACT, **changes):
    return motion_settings(
        DEFAULTS | {name.replace("__", "."): value for name, value in changes.items()}, contract
    )


def test_a_chunk_is_blended_in_within_the_same_time_at_any_rate():
    """5 knots are 1/6 s at 30 Hz, and would be half a second at 10 Hz."""
    blended = {fps: fade_knots(DEFAULTS, 1.0 / fps) for fps in (2.0, 10.0, 15.0, 30.0, 50.0, 100.0)}
    assert blended == {2.0: 1, 10.0: 2, 15.0: 2, 30.0: 5, 50.0: 8, 100.0: 17}
    assert [fade_knots({"fade_knots": given}, 0.1) for given in (0, 1, 7)] == [0, 1, 7]
    assert settings().fade_knots == 5


@pytest.mark.parametrize(
    ("read", "parameter", "rad", "m"),
    [
        (lambda c: settings(c).max_tracking_error, "max_tracking_error", 0.5, 0.05),
        (lambda c: settings(c).ensemble.max_disagreement, "ensemble.disagreement", 0.3, 0.02),
        (lambda c: settings(c).pose_tolerance, "pose_tolerance", 0.02, 0.005),
        (lambda c: idle_motion(DEFAULTS, c), "idle_motion", 0.02, 0.005),
    ],
)
def test_each_threshold_has_its_value_in_radians_and_in_metres(read, parameter, rad, m):
    assert (DEFAULTS[parameter], DEFAULTS[f"{parameter}_prismatic"]) == (rad, m)
    arm = ~CONTRACT.gripper_mask
    assert set(read(CONTRACT)[arm]) == {rad}
    values = read(LIFTS)
    assert set(values[LIFTS.limits.prismatic]) == {m}
    assert set(values[arm & ~LIFTS.limits.prismatic]) == {rad}


def test_every_threshold_in_radians_has_a_twin_in_metres():
    units = {entry.name: entry.unit for entry in POLICY_PARAMETERS}
    radians = [name for name, unit in units.items() if unit == "rad"]
    assert len(radians) == 5
    assert [units.get(f"{name}_prismatic") for name in radians] == ["m"] * 5


def test_a_gripper_may_be_outside_its_limits_by_a_part_of_its_stroke():
    gripper = CONTRACT.gripper_mask
    stroke = (CONTRACT.limits.position_max - CONTRACT.limits.position_min)[gripper]
    np.testing.assert_allclose(settings().pose_tolerance[gripper], 0.1 * stroke)


def test_by_default_grippers_are_never_averaged_and_both_arms_are_coupled():
    ensemble = settings().ensemble
    assert ensemble.never_averaged.tolist() == CONTRACT.gripper_mask.tolist()
    assert len(np.unique(ensemble.coupling)) == 1
    assert np.isinf(ensemble.max_disagreement[CONTRACT.gripper_mask]).all()
    assert ensemble.taper_ns == 200_000_000


@pytest.mark.parametrize(("coupling", "groups"), [("all", 1), ("controller", 4), ("none", 14)])
def test_coupling_groups_joints(coupling, groups):
    group = settings(ensemble__coupling=coupling).ensemble.coupling
    assert len(np.unique(group)) == groups
    if coupling == "controller":
        for controller in CONTRACT.controllers:
            assert len(np.unique(group[CONTRACT.indices(controller)])) == 1


@pytest.mark.parametrize(
    ("names", "exempt"),
    [(["none"], []), (["left_joint_6"], [5]), (["grippers", "left_joint_6"], [5, 6, 13])],
)
def test_single_joints_can_be_excluded_from_averaging(names, exempt):
    mask = settings(ensemble__never_averaged=names).ensemble.never_averaged
    assert np.flatnonzero(mask).tolist() == exempt


def test_an_unknown_joint_is_refused_with_the_valid_names():
    with pytest.raises(
        ParameterError, match=r"ensemble.never_averaged.*grippers.*Did you mean 'left_joint_1'"
    ):
        settings(ensemble__never_averaged=["left_joint_11"])


def test_the_latencies_of_controllers_need_to_know_what_actions_are():
    name = CONTRACT.controllers[0].name
    controllers = [replace(each, latency=0.05 * (each.name == name)) for each in CONTRACT.controllers]
    late = replace(CONTRACT, controllers=tuple(controllers))
    with pytest.raises(ParameterError, match=rf"controllers.{name}.latency 0.05 s.*action.source"):
        settings(late)
    assert not settings(late, actions_are="commands").lead.any()
    lead = settings(late, actions_are="positions").lead
    assert set(np.flatnonzero(lead)) == set(CONTRACT.indices(name)) and set(lead) == {0.0, 0.05}
    assert not settings().lead.any(), "without latencies nothing needs to be said"
    assert settings(late, actions_are="positions", plan_horizon=0.05).lead.any()
    with pytest.raises(ParameterError, match=r"covers 0.04 s .*latency 0.05 s"):
        settings(late, actions_are="positions", plan_horizon=0.04)
