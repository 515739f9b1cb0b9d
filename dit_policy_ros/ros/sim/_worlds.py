# SPDX-License-Identifier: Apache-2.0
"""What the simulator shows: the built-in scene with its cubes, or the contract's robot in any MJCF."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dit_policy_ros.core.contract import Contract, Controller, ControllerType
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.ros.sim._cameras import SimulatedCamera
from dit_policy_ros.sim.controllers import (
    MAX_VELOCITY,
    ControllerRelease,
    ControllerSettings,
    contract_controllers,
)
from dit_policy_ros.sim.poses import pose_controllers
from dit_policy_ros.sim.robot import (
    CONTROLLERS,
    JOINTS,
    STEP_NS,
    BimanualSim,
    SimulatedRobot,
    Variation,
    built_in_model,
)
from dit_policy_ros.sim.scene import SceneNames, SceneReferee, SceneRobot, load_task
from dit_policy_ros.sim.tasks import Referee, TouchReport

_PARALLEL = "parallel_gripper_controller"


class Judge(Protocol):
    """Who says what has been done in a scene."""

    @property
    def scene_time(self) -> float: ...

    def restart(self) -> None: ...

    def observe(self) -> None: ...

    def done(self) -> dict[str, float | None]: ...


@dataclass(frozen=True, slots=True)
class World:
    """A simulated robot in its scene.

    touched: reports of the built-in touch tasks since the last call. what: the robot, in words. scene: what a
    reset arranges, in words. notes: what the user should know, a sentence each.
    """

    robot: SimulatedRobot
    judge: Judge
    cameras: tuple[SimulatedCamera, ...]
    touched: Callable[[], Sequence[TouchReport]]
    what: str
    scene: str
    notes: tuple[str, ...] = ()


def make_world(settings: Mapping[str, Any], contract: Contract | None) -> World:
    """The world that the simulator's parameters describe.

    Args:
        settings: by the names of SIM_PARAMETERS.
        contract: of the robot; None: no contract is given, so the built-in scene has its usual controllers.

    Raises:
        SimulationError: it cannot be set up, or the contract does not fit it.
    """
    controllers = ControllerSettings(
        release=ControllerRelease(settings["controller_release"]),
        allow_trajectory_replacement=settings["allow_trajectory_replacement"],
        parallel_grippers=settings["gripper_type"] == _PARALLEL,
    )
    variation = Variation(settings["camera_jitter"], settings["lighting"])
    if settings["scene"]:
        return _scene(settings, contract, controllers, variation)
    _refuse_scene_parameters(settings)
    return _cubes(settings, contract, controllers, variation)


def _scene(
    settings: Mapping[str, Any],
    contract: Contract | None,
    controllers: ControllerSettings,
    variation: Variation,
) -> World:
    if contract is None:
        raise SimulationError(
            f"scene:={settings['scene']} needs the robot's contract (joints, controllers, cameras, limits). "
            "Give the parameter file of the policy node: --params-file my_robot.yaml"
        )
    names = SceneNames(
        settings["scene"],
        settings["scene_joints"],
        settings["scene_mimics"],
        settings["scene_cameras"],
        settings["home_keyframe"],
    )
    task = load_task(settings["scene_task"]) if settings["scene_task"] else None
    robot = SceneRobot(
        contract, names, seed=settings["seed"], settings=controllers, task=task, variation=variation
    )
    cameras = tuple(
        SimulatedCamera(
            camera.name, robot.binding.cameras[camera.name], camera.topic, camera.width, camera.height,
            camera.fps or contract.fps, camera.compressed, camera.depth_unit,
        )
        for camera in contract.cameras
    )  # fmt: skip
    notes = (*robot.binding.notes, *_not_measured(contract))
    objects = f"objects of '{task.instruction}' arranged anew" if task else "nothing else changed"
    return World(
        robot, SceneReferee(robot, task), cameras, tuple, f"simulated {contract.robot_type}", objects, notes
    )


def _cubes(
    settings: Mapping[str, Any],
    contract: Contract | None,
    controllers: ControllerSettings,
    variation: Variation,
) -> World:
    notes: list[str] = []
    topics = {name: f"{name}/image_raw" for name in settings["cameras"]}
    named = None
    if contract is not None:
        check_built_in(contract)
        _check_grippers(contract, controllers)
        named = contract_controllers(contract, STEP_NS, controllers, gripper_velocity=MAX_VELOCITY)
        named |= pose_controllers(contract, built_in_model(), STEP_NS)
        topics |= {each.name: each.topic for each in contract.cameras if each.name in topics}
        absent = [name for name in contract.camera_names if name not in topics]
        notes = [
            f"no simulated camera is called '{name}': its images must come from elsewhere" for name in absent
        ]
        notes += _not_measured(contract)
    robot = BimanualSim(settings["seed"], controllers=named or controllers, variation=variation)
    compressed = [] if contract is None else [each.name for each in contract.cameras if each.compressed]
    units = {} if contract is None else {each.name: each.depth_unit for each in contract.cameras}
    cameras = tuple(
        SimulatedCamera(
            name, name, topic, settings["image_width"], settings["image_height"], settings["camera_rate"],
            name in compressed, units.get(name, ""),
        )
        for name, topic in topics.items()
    )  # fmt: skip
    if film := settings["film_camera"]:
        size = settings["image_width"], settings["image_height"]
        rate = 0.5 * settings["camera_rate"]
        cameras = (*cameras, SimulatedCamera(film, film, f"{film}/image_raw", *size, rate))
    referee = Referee(robot)
    return World(
        robot, referee, cameras, referee.report, "simulated two-armed robot", "new cube poses", tuple(notes)
    )


def check_built_in(contract: Contract) -> None:
    """Raises SimulationError if the built-in robot has not the contract's joints."""
    poses = {joint for each in contract.controllers if each.pose is not None for joint in each.joints}
    unknown = [joint for joint in contract.joints if joint not in poses and joint not in JOINTS]
    if unknown:
        raise SimulationError(
            f"the built-in robot has no joint {listing(unknown)}; it has {listing(JOINTS)}. Name them so in "
            "the contract, or simulate the contract's own robot with scene:=my_robot.xml (docs/robots.md)"
        )


def _check_grippers(contract: Contract, settings: ControllerSettings) -> None:
    """Raises SimulationError if gripper_type contradicts the contract."""
    wrong = [each.name for each in contract.controllers if each.gripper and each.type.value != _PARALLEL]
    if settings.parallel_grippers and wrong:
        raise SimulationError(
            f"gripper_type is {_PARALLEL}, but the contract has another type for {listing(wrong)}. Correct "
            "one of the two; without gripper_type the contract decides"
        )


def _refuse_scene_parameters(settings: Mapping[str, Any]) -> None:
    given = [
        name
        for name in ("scene_joints", "scene_mimics", "scene_cameras", "home_keyframe", "scene_task")
        if any(settings[name])
    ]
    if given:
        raise SimulationError(
            f"{listing(given)}: only a scene of your own has that; give its MJCF, too (scene:=my_robot.xml)"
        )


def _not_measured(contract: Contract) -> list[str]:
    """Vectors of the contract that the simulator does not publish."""
    return [
        f"the vector '{each.name}' ({each.type}, {each.topic}) is not simulated"
        for each in contract.vectors
        if each.topic not in [states.topic for states in contract.joint_states]
    ]


def described_controllers(contract: Contract | None) -> tuple[Controller, ...]:
    """The controllers with their topics, joints and names; the built-in robot's without a contract."""
    if contract is not None:
        return contract.controllers
    trajectory = ControllerType.JOINT_TRAJECTORY
    return tuple(Controller(name, trajectory, joints) for name, joints in CONTROLLERS.items())
