# SPDX-License-Identifier: Apache-2.0
"""A contract and an MJCF: what fits moves, and what does not is refused with its remedy."""

import mujoco
import numpy as np
import pytest
from contracts import SMALL_CONTRACT, small_mapping
from small_mjcf import KEYFRAME, SERVOS, small_mjcf, write_mjcf

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import DitPolicyError, ParameterError, SimulationError
from dit_policy_ros.sim.controllers import ParallelGripperController, Point, Trajectory, TrajectoryController
from dit_policy_ros.sim.scene import SceneNames, SceneRobot, bind, load_model

SHOULDER, FINGER, ELBOW = range(3)  # in the contract


def robot(folder, text=None, contract=SMALL_CONTRACT, **names) -> SceneRobot:
    return SceneRobot(contract, SceneNames(write_mjcf(folder, text), **names))


def moved(sim: SceneRobot, target: list[float]) -> np.ndarray:
    """Positions after the command went to target and the servos had time."""
    sim.step_towards(np.array(target), 300)
    sim.step_towards(np.array(target), 700)
    return sim.joint_positions


def problems(folder, text=None, contract=SMALL_CONTRACT, **names) -> str:
    with pytest.raises(DitPolicyError) as caught:
        robot(folder, text, contract, **names)
    assert isinstance(caught.value, SimulationError | ParameterError)
    return str(caught.value)


def test_it_begins_at_home_and_holds_it(tmp_path):
    sim = robot(tmp_path)
    np.testing.assert_allclose(sim.joint_positions, [0.3, 0.01, -0.4])
    assert sim.data.qpos[3] == pytest.approx(0.01)  # the second finger
    sim.step(500)
    np.testing.assert_allclose(sim.joint_positions, [0.3, 0.01, -0.4], atol=1e-3)
    assert sim.time_ns == 500 * 2_000_000


def test_joints_follow_their_servos_and_the_second_finger_the_first(tmp_path):
    sim = robot(tmp_path)
    np.testing.assert_allclose(moved(sim, [-0.5, 0.03, 0.9]), [-0.5, 0.03, 0.9], atol=2e-3)
    assert sim.data.qpos[3] == pytest.approx(0.03, abs=2e-3)


def test_the_contracts_controllers_are_the_robots_with_their_types(tmp_path):
    mapping = small_mapping()
    mapping["controllers"]["hand"]["type"] = "parallel_gripper_controller"
    sim = robot(tmp_path, contract=parse_contract(mapping, ""))
    arm, hand = sim.controllers["arm"], sim.controllers["hand"]
    assert isinstance(arm, TrajectoryController) and arm.joints == ("shoulder", "elbow")
    assert isinstance(hand, ParallelGripperController) and hand.joints == ("finger",)
    point = Point(500_000_000, (0.8, 0.2))
    assert arm.accept(Trajectory(0, ("shoulder", "elbow"), (point,)), sim.time_ns) is None
    assert hand.accept((0.03,)) is None
    sim.step(50)
    assert sim.command[FINGER] == pytest.approx(0.01 + 50 * 0.002 * 0.2)  # the contract's velocity: 0.2 m/s
    sim.step(950)
    np.testing.assert_allclose(sim.joint_positions, [0.8, 0.03, 0.2], atol=2e-3)


def test_other_names_and_units_are_mapped_in_both_directions(tmp_path):
    """Degrees, a mirrored joint, a gripper from 0 to 1."""
    text = small_mjcf().replace('"shoulder"', '"pan"').replace('name="top"', 'name="overhead"')
    names = [
        "shoulder = pan * 57.29577951308232",
        "elbow = elbow * -1 + 0.1",
        "finger = finger * 25",
    ]
    mapping = small_mapping()
    mapping["limits"]["finger"] |= {"position_max": 1.0}
    mapping["limits"]["shoulder"] |= {"position_min": -90.0, "position_max": 90.0}
    sim = robot(tmp_path, text, parse_contract(mapping, ""), joints=tuple(names), cameras=("top = overhead",))
    np.testing.assert_allclose(sim.joint_positions, [np.degrees(0.3), 0.25, 0.5])
    np.testing.assert_allclose(moved(sim, [45.0, 0.75, -0.4]), [45.0, 0.75, -0.4], rtol=5e-3)
    np.testing.assert_allclose(sim.data.qpos[:3], [np.pi / 4, 0.5, 0.03], rtol=5e-3)
    assert sim.binding.cameras == {"top": "overhead", "wrist": "wrist"}
    velocity = sim.joint_velocities.copy()
    sim.data.qvel[0] += 1.0
    np.testing.assert_allclose(sim.joint_velocities - velocity, [np.degrees(1.0), 0.0, 0.0], atol=1e-9)


TENDON = """<tendon><fixed name="both"><joint joint="finger" coef="0.5"/>
    <joint joint="second_finger" coef="0.5"/></fixed></tendon>"""
ARM = '<position joint="shoulder" kp="200" kv="20"/><position joint="elbow" kp="200" kv="20"/>'
GRIPPERS = {
    "a tendon with a control from 0 to 255, as of the Robotiq 2F-85": (
        ARM + '<general name="grip" tendon="both" biastype="affine" ctrlrange="0 255" '
        'gainprm="0.125490196 0 0" biasprm="0 -800 -60"/>',
        TENDON,
    ),
    "a gear": (
        ARM + '<position joint="finger" gear="10" kp="6" kv="0.5"/>',
        "",
    ),
    "a servo with an offset": (
        ARM + '<general joint="finger" biastype="affine" gainprm="600" biasprm="-6 -600 -50"/>',
        "",
    ),
    "a delayed servo": (
        ARM + '<general joint="finger" biastype="affine" gainprm="600" biasprm="0 -600 -50" '
        'dyntype="filterexact" dynprm="0.02"/>',
        "",
    ),
}


@pytest.mark.parametrize("kind", GRIPPERS)
def test_every_kind_of_position_servo_reaches_what_it_is_told(tmp_path, kind):
    servos, extra = GRIPPERS[kind]
    sim = robot(tmp_path, small_mjcf(servos, extra=extra))
    for opening in (0.03, 0.005):
        assert moved(sim, [0.0, opening, 0.0])[FINGER] == pytest.approx(opening, abs=1e-3)


def test_fingers_with_servos_of_their_own_follow_as_said(tmp_path):
    """Like ALOHA's: no equality, two servos, opposite signs."""
    text = small_mjcf(SERVOS + '<position joint="second_finger" kp="400" kv="40"/>').replace(
        '<equality><joint joint1="second_finger" joint2="finger"/></equality>', ""
    )
    sim = robot(tmp_path, text, mimics=("second_finger = finger * 0.5 + 0.001",))
    assert sim.data.qpos[3] == pytest.approx(0.006)
    moved(sim, [0.0, 0.03, 0.0])
    assert sim.data.qpos[3] == pytest.approx(0.016, abs=1e-3)


REFUSED = {
    "a joint that the MJCF lacks": (
        {"text": small_mjcf().replace('"elbow"', '"elbo"')},
        ("joint 'elbow'", "Did you mean 'elbo'?", "scene_joints: ['elbow = NAME']", "shoulder, elbo, finger"),
    ),
    "a joint that can only be guessed": (
        {"joints": ("elbow = ball",)},
        ("ball or free joint",),
    ),
    "two joints that are one": ({"joints": ("elbow = shoulder",)}, ("already the joint 'shoulder'",)),
    "a joint that the contract lacks": ({"joints": ("wrist = elbow",)}, ("scene_joints", "'wrist'")),
    "a mapping without a meaning": ({"joints": ("elbow -> elbow",)}, ("scene_joints", "expected")),
    "a scale of zero": ({"joints": ("elbow = elbow * 0",)}, ("elbow", "scale")),
    "a camera that the MJCF lacks": (
        {"text": small_mjcf().replace('name="wrist"', 'name="wrist_cam"')},
        ("camera 'wrist'", "Did you mean 'wrist_cam'?", "scene_cameras: ['wrist = NAME']", "top, wrist_cam"),
    ),
    "a camera that the contract lacks": ({"cameras": ("front = top",)}, ("scene_cameras", "'front'")),
    "no actuator": (
        {"text": small_mjcf(SERVOS.replace('joint="elbow"', 'joint="shoulder"', 1))},
        ("joint 'elbow': no actuator moves 'elbow'", "<position joint=", "2 actuators move 'shoulder'"),
    ),
    "a motor": (
        {"text": small_mjcf(SERVOS.replace("<position", "<motor", 1).replace('kp="200" kv="20"', "", 1))},
        ("joint 'shoulder'", "'shoulder' cannot hold a position", "a force (a motor)", "use <position"),
    ),
    "a gear of 0": (
        {"text": small_mjcf(SERVOS.replace('joint="elbow"', 'joint="elbow" gear="0"', 1))},
        ("'elbow' cannot hold a position", "its gear is 0"),
    ),
    "a velocity servo": (
        {"text": small_mjcf(SERVOS.replace("<position", "<velocity", 1).replace('kp="200"', "", 1))},
        ("its control is a velocity", "use <position"),
    ),
    "a servo that integrates": (
        {
            "text": small_mjcf(
                SERVOS.replace(
                    '<position name="elbow" joint="elbow" kp="200" kv="20"/>',
                    '<intvelocity name="elbow" joint="elbow" kp="200" kv="20" actrange="-1 1"/>',
                )
            )
        },
        ("'elbow' cannot hold a position", "integrates"),
    ),
    "two actuators on a joint": (
        {"text": small_mjcf(SERVOS + '<velocity name="damper" joint="elbow" kv="3"/>')},
        ("joint 'elbow': 2 actuators move 'elbow': 'elbow', 'damper'", "Keep one"),
    ),
    "an actuator that moves a stranger, too": (
        {
            "text": small_mjcf(ARM + '<position tendon="both" kp="300" kv="30"/>', extra=TENDON).replace(
                '<equality><joint joint1="second_finger" joint2="finger"/></equality>', ""
            )
        },
        ("also moves second_finger", "scene_mimics: ['second_finger = finger']"),
    ),
    "a mimic of nothing": (
        {"mimics": ("second_finger = fingr",)},
        ("scene_mimics", "Did you mean 'finger'?"),
    ),
    "an unknown mimic": ({"mimics": ("thumb = finger",)}, ("scene_mimics", "'thumb'")),
    "an unknown keyframe": ({"home": "hme"}, ("home_keyframe", "no keyframe 'hme'", "'home'")),
    "a joint that slides": (
        {"text": small_mjcf().replace('name="elbow" axis', 'name="elbow" type="slide" axis')},
        ("joint 'elbow': it slides", "limits.elbow.prismatic: true"),
    ),
    "coarse physics": ({"text": small_mjcf(timestep=0.02)}, ("0.02 s", '<option timestep="0.002"/>')),
    "no MJCF": ({"text": "<mujoko/>"}, ("not an MJCF that MuJoCo can load",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_its_remedy(tmp_path, case):
    arguments, words = REFUSED[case]
    message = problems(tmp_path, **arguments)
    assert [word for word in words if word not in message] == []


def test_a_joint_that_turns_where_the_contract_says_that_it_slides(tmp_path):
    mapping = small_mapping()
    mapping["limits"]["elbow"]["prismatic"] = True
    assert "limits.elbow.prismatic: false" in problems(tmp_path, contract=parse_contract(mapping, ""))


def test_all_problems_are_told_at_once(tmp_path):
    text = small_mjcf().replace('"elbow"', '"e"').replace('name="wrist"', 'name="w"')
    message = problems(tmp_path, text, home="start")
    assert "4 problems" in message  # with a line that lists the joints
    assert all(word in message for word in ("'elbow'", "'wrist'", "'start'"))


def test_a_contract_that_allows_more_than_the_scene_is_told(tmp_path):
    sim = robot(tmp_path, small_mjcf().replace('range="-2 2"', 'range="-1 1.5"', 1))
    assert [note for note in sim.binding.notes if "'shoulder' moves from -1 to 1.5" in note]
    assert len(sim.binding.notes) == 1


def test_the_only_keyframe_is_home_whatever_its_name_and_without_one_it_is_the_reference_pose(tmp_path):
    named = robot(tmp_path, small_mjcf(keyframe=KEYFRAME.replace('name="home" ', "")))
    np.testing.assert_allclose(named.joint_positions, [0.3, 0.01, -0.4])
    two = KEYFRAME.replace("home", "a") + KEYFRAME.replace("home", "b").replace("0.3", "0.6")
    reference = robot(tmp_path, small_mjcf(keyframe=two))
    np.testing.assert_allclose(reference.joint_positions, [0.0, 0.0, 0.0])
    chosen = robot(tmp_path, small_mjcf(keyframe=two), home="b")
    np.testing.assert_allclose(chosen.joint_positions, [0.6, 0.01, -0.4])


def test_servos_of_joints_outside_the_contract_hold_their_home(tmp_path):
    mapping = small_mapping(joints=["shoulder", "elbow"])
    mapping["controllers"] = {"names": ["arm"], "arm": mapping["controllers"]["arm"]}
    del mapping["limits"]["finger"]
    sim = robot(tmp_path, contract=parse_contract(mapping, ""))
    sim.step(1000)
    assert sim.data.qpos[2] == pytest.approx(0.01, abs=1e-4)


def test_a_reset_brings_everything_back_and_time_goes_on(tmp_path):
    sim = robot(tmp_path)
    moved(sim, [1.0, 0.03, 1.0])
    sim.data.qpos[4:7] = (1.0, 1.0, 1.0)
    before = sim.time_ns
    sim.reset()
    np.testing.assert_allclose(sim.joint_positions, [0.3, 0.01, -0.4])
    np.testing.assert_allclose(sim.data.qpos[4:7], [0.0, 0.0, 0.5])
    assert sim.time_ns == before
    assert not sim.data.qvel.any()


def test_the_timestep_is_the_models(tmp_path):
    sim = robot(tmp_path, small_mjcf(timestep=0.005))
    sim.step(100)
    assert sim.time_ns == 500_000_000


def test_a_model_may_come_from_a_function(tmp_path):
    (tmp_path / "scenes.py").write_text(
        "import mujoco\n"
        f"def spec():\n    return mujoco.MjSpec.from_string({small_mjcf()!r})\n"
        f"def path():\n    return {write_mjcf(tmp_path)!r}\n"
        "def wrong():\n    return 3\n"
        "value = 4\n"
    )
    for name in ("spec", "path"):
        model = load_model(f"{tmp_path}/scenes.py:{name}")
        assert isinstance(model, mujoco.MjModel)
        assert bind(model, SMALL_CONTRACT, SceneNames("")).drive.joints == SMALL_CONTRACT.joints
    for name, words in {
        "wrong": "returned int",
        "value": "expected a function",
        "spek": "Did you mean 'spec'?",
    }.items():
        with pytest.raises(SimulationError, match=words.replace("?", "[?]")):
            load_model(f"{tmp_path}/scenes.py:{name}")
    with pytest.raises(SimulationError, match="cannot be imported"):
        load_model("no_such_module:scene")
    with pytest.raises(SimulationError, match="Did you mean 'aloha'"):
        load_model("alohaa")


def test_physics_that_become_unstable_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to MUJOCO_LOG.TXT
    servos = SERVOS.replace('kp="200" kv="20"', 'kp="2000000" kv="0"', 1)
    sim = robot(tmp_path, small_mjcf(servos, timestep=0.01))
    assert sim.unstable_steps == 0
    with np.errstate(all="ignore"):
        sim.step_towards(np.array([1.0, 0.0, 0.0]), 300)
    assert sim.unstable_steps > 0


def test_a_servo_that_ends_before_the_contracts_limits_is_told(tmp_path):
    servos = SERVOS.replace('joint="elbow" ', 'joint="elbow" ctrlrange="-1 2" ', 1)
    (note,) = robot(tmp_path, small_mjcf(servos)).binding.notes
    assert "joint 'elbow': the control of 'elbow' ends at -1 and 2 (ctrlrange)" in note


def test_a_home_that_the_contract_does_not_allow_is_told(tmp_path):
    mapping = small_mapping()
    mapping["limits"]["shoulder"]["position_max"] = 0.2
    (note,) = robot(tmp_path, contract=parse_contract(mapping, "")).binding.notes
    assert "joint 'shoulder' begins at 0.3, outside the contract's limits" in note


def test_a_scene_function_that_fails_is_named_with_its_line(tmp_path):
    (tmp_path / "broken.py").write_text("def scene():\n    return 1 / 0\n")
    with pytest.raises(
        SimulationError, match=r"broken.py:scene failed: ZeroDivisionError.*broken.py, line 2"
    ):
        load_model(f"{tmp_path}/broken.py:scene")
