# SPDX-License-Identifier: Apache-2.0
"""Skills of the scripted operator: lift, hand over and push a cube. A failed attempt is repeated."""

import numpy as np

from dit_policy_ros.sim.operator._hand import CLOSED, OPEN, Hand, Moves, Pose, cube_yaw, down, forward
from dit_policy_ros.sim.robot import CUBE_EDGE, CUBES, BimanualSim
from dit_policy_ros.sim.tasks import scene_state

ATTEMPTS = 3
_HOVER = 0.06  # [m] above the grasp
_CARRY = 0.14  # [m] height of the tool point with a lifted cube
_CROWDED = 0.1  # [m] a nearer neighbour blocks an open finger
_HANDOVER = np.array([0.0, 0.0, 0.22])  # [m] where the cube is handed over
_CLOSER = 0.5  # share of the aim error that is left at the second pose before an object
_TIPS_APART = 0.006  # [m] gap between both hands' fingertips on one cube
_SHALLOW = 0.004  # [m] above the cube's middle, to leave room for the other hand
_PUSHING = 0.012  # [m] of each finger: two fingers keep a cube straight
_BEHIND = CUBE_EDGE * 0.75 + 0.016  # [m] from a cube's middle to the fingers behind it
_PUSH_TO = 0.145  # [m] from the middle of the mat, in the zone
_HEADING = {"left": -np.pi / 2, "right": np.pi / 2}  # [rad] about z, the direction each arm faces


def lift(sim: BimanualSim, hand: Hand, colour: str, shallow: float = 0.0) -> Moves:
    """Grasp a cube from above and lift it. ``shallow`` [m] is the grasp's height above its middle."""
    for _ in range(ATTEMPTS):
        yield from hand.grip(OPEN)
        grasp = grasp_pose(sim, hand.side, colour, shallow)
        yield from _travel(hand, grasp.shifted(0.0, 0.0, _HOVER))
        grasp = grasp_pose(sim, hand.side, colour, shallow)  # the cube may have moved
        yield from hand.move(grasp, speed=0.7)
        yield from hand.wait(0.15)
        yield from hand.grip(CLOSED)
        up = Pose(np.append(grasp.point[:2], _CARRY), grasp.orientation)
        yield from hand.move(up, speed=0.8)
        cube = scene_state(sim).cubes[colour]
        if cube.height > 0.05 and hand.side in cube.touched_by:
            return


def hand_over(sim: BimanualSim, giver: Hand, taker: Hand, colour: str) -> Moves:
    """The giver lifts a cube and holds it level in the middle; the taker grasps its other half."""
    for _ in range(ATTEMPTS):
        yield from lift(sim, giver, colour, shallow=_SHALLOW)
        yield from _turn_level(giver, _HANDOVER)
        yield from giver.wait(0.3)
        yield from taker.grip(OPEN)
        outwards = np.array([0.0, np.sign(_HEADING[giver.side]), 0.0])  # from giver to taker
        level = forward(_HEADING[taker.side])
        tips = giver.pose.point + _TIPS_APART * outwards  # (3,)
        middle = sim.cube_position(colour)  # (3,)
        place = np.array([middle[0], tips[1], middle[2]])
        yield from _turn_level(taker, _HANDOVER + 0.12 * outwards)
        yield from taker.move(taker.aimed(Pose(place + 0.09 * outwards, level), _CLOSER), speed=0.8)
        yield from taker.move(Pose(place, level), speed=0.5)
        yield from taker.wait(0.2)
        yield from taker.grip(CLOSED)
        if scene_state(sim).cubes[colour].touched_by == {giver.side, taker.side}:
            yield from giver.grip(OPEN)
            yield from giver.move(giver.pose.shifted(*(-0.12 * outwards)), speed=0.7)
            return
        yield from taker.grip(OPEN)
        yield from taker.move(Pose(place + 0.12 * outwards, level))
        yield from put_down(sim, giver)


def _turn_level(hand: Hand, point: np.ndarray) -> Moves:
    """Turn the gripper from down to level, at a point (3,) [m] straight in front of the arm.

    Half-way is a singularity: forearm and wrist turn about one axis. It does no harm in the plane of the arm,
    where neither has to turn. So the gripper first moves there.
    """
    heading = _HEADING[hand.side]
    yield from hand.move(Pose(point, down(heading + np.pi / 2)), speed=0.8)
    yield from hand.move(Pose(point, forward(heading)), speed=0.8)


def put_down(sim: BimanualSim, hand: Hand) -> Moves:
    """Put the held cube down below the hand, and retreat."""
    here = hand.pose.point
    low = Pose(
        np.array([here[0], here[1] * 0.5, CUBE_EDGE / 2 + 0.008]), down(_HEADING[hand.side] + np.pi / 2)
    )
    yield from hand.move(low.shifted(0.0, 0.0, 0.08))
    yield from hand.move(low, speed=0.6)
    yield from hand.grip(OPEN)
    yield from hand.move(low.shifted(0.0, 0.0, 0.1))


def push(sim: BimanualSim, hand: Hand, colour: str, zone: str) -> Moves:
    """Lower the fingers behind a cube, on the side away from the zone, and push it into the zone."""
    outwards = 1.0 if zone == "left" else -1.0
    for _ in range(ATTEMPTS):
        yield from hand.grip(_PUSHING)
        x, y, _ = sim.cube_position(colour)
        orientation = down(_HEADING[hand.side] + np.pi / 2)
        behind = Pose(np.array([x, y - outwards * _BEHIND, 0.014]), orientation)
        yield from _travel(hand, behind.shifted(0.0, 0.0, _HOVER + 0.03))
        yield from hand.move(behind, speed=0.7)
        reach = outwards * (_PUSH_TO - CUBE_EDGE / 2 - 0.011)  # the fingers stop at the cube's back face
        for share in (0.5, 1.0):  # corrects half-way, because the cube drifts sideways
            x, y, _ = sim.cube_position(colour)
            here = hand.pose.point
            aim = here + share * (np.array([x, reach, here[2]]) - here)
            yield from hand.move(Pose(aim, orientation), speed=0.5)
        yield from hand.wait(0.2)
        yield from hand.move(hand.pose.shifted(0.0, -outwards * 0.03, 0.0))
        yield from hand.move(hand.pose.shifted(0.0, 0.0, 0.12))
        if scene_state(sim).cubes[colour].in_zone(zone):
            return


def _travel(hand: Hand, goal: Pose) -> Moves:
    """Travel above the cubes; a low hand first moves up. With an aim error it comes closer in two steps."""
    clear = 0.12  # [m]
    if hand.pose.point[2] < clear - 0.02:
        yield from hand.move(hand.pose.shifted(0.0, 0.0, clear - float(hand.pose.point[2])))
    if goal.point[2] < clear:
        above = Pose(np.append(goal.point[:2], clear), goal.orientation)
        yield from hand.move(hand.aimed(above))
    yield from hand.move(hand.aimed(goal, _CLOSER), speed=0.9)


def grasp_pose(sim: BimanualSim, side: str, colour: str, shallow: float = 0.0) -> Pose:
    """A grasp from above, by the freer of the two finger directions nearest to the arm's usual one."""
    place = sim.cube_position(colour)  # (3,)
    yaw, usual = cube_yaw(sim, colour), _HEADING[side] + np.pi / 2
    directions = yaw + np.arange(4) * np.pi / 2  # [rad], possible opening directions of the fingers
    turns = np.abs((directions - usual + np.pi) % (2 * np.pi) - np.pi)
    first, second = directions[np.argsort(turns)[:2]]
    crowd = [_nearest_along(sim, colour, direction) for direction in (first, second)]
    direction = second if crowd[0] < _CROWDED and crowd[1] > crowd[0] else first
    return Pose(place + np.array([0.0, 0.0, shallow]), down(float(direction)))


def _nearest_along(sim: BimanualSim, colour: str, direction: float) -> float:
    """Distance [m] to the nearest other cube within a lane along a direction, on either side."""
    place = sim.cube_position(colour)[:2]
    along, across = (
        np.array([np.cos(direction), np.sin(direction)]),
        np.array([-np.sin(direction), np.cos(direction)]),
    )
    nearest = np.inf
    for other in CUBES:
        if other != colour:
            gap = sim.cube_position(other)[:2] - place  # (2,)
            if abs(gap @ across) < CUBE_EDGE:
                nearest = min(nearest, abs(float(gap @ along)))
    return nearest
