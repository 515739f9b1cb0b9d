# SPDX-License-Identifier: Apache-2.0
"""The three drawings of the architecture: processes and topics, the way of a chunk, layers of the code."""

from pathlib import Path

from tools.pictures._canvas import BLUE, EDGE, GREEN, GREY, ORANGE, RED, Canvas

LAYERS = {
    "cli": "console programs, one file each",
    "evaluation": "starts nodes, watches them, reports",
    "ros": "nodes, messages, parameters",
    "training": "offline training; no node imports it",
    "policy": "the network and its checkpoints; torch",
    "sim": "the MuJoCo robot and its tasks; no ROS",
    "data": "datasets and video; LeRobot's format",
    "core": "from samples to plans; numpy only",
}
SIDE_BY_SIDE = ("policy", "sim", "data")
WIDTH = 860


def draw_processes(path: Path) -> None:
    """Processes as boxes, topics and services as arrows."""
    canvas = Canvas(WIDTH, 470)
    canvas.box(20, 30, (150, 56), ["cameras", "driver of the robot"], GREY)
    canvas.box(20, 130, (150, 56), ["joint states", "driver of the robot"], GREY)
    canvas.box(690, 130, (150, 76), ["controllers", "ros2_control, or", "sim_node's models"], GREY)
    canvas.box(
        330,
        20,
        (200, 76),
        ["inference_node", "checkpoint, images to chunks", "torch; here or elsewhere"],
        ORANGE,
    )
    canvas.box(
        330,
        210,
        (200, 90),
        ["policy_node", "ensemble, splice, limits, HOLD", "numpy; beside the robot"],
        BLUE,
    )
    canvas.box(330, 390, (200, 60), ["recorder_node", "frames to a LeRobotDataset v3"], GREEN)
    canvas.box(20, 390, (150, 60), ["leader arms", "or another operator"], GREY)
    canvas.box(690, 390, (150, 60), ["panel, consoles", "who sets task and e-stop"], GREY)
    canvas.arrow((170, 52), (330, 52), "images")
    canvas.arrow((170, 146), (330, 88), "joint states", (-8, -10))
    canvas.arrow((170, 170), (330, 235), "joint states", (0, -10))
    canvas.arrow((400, 210), (400, 96), "InferenceRequest", (-58, 12))
    canvas.arrow((465, 96), (465, 210), "ActionChunk, InferenceStatus", (86, -6))
    canvas.arrow((530, 240), (690, 190), "JointTrajectory", (0, -14))
    canvas.arrow((690, 200), (530, 270), "controller_state", (20, 14))
    canvas.arrow((170, 405), (330, 280), "leader, if a person drives", (-18, -12))
    canvas.arrow((170, 425), (330, 425), "leader: the action")
    canvas.arrow((430, 300), (430, 390), "/policy/control: who drives", (86, 0))
    canvas.arrow((730, 390), (530, 288), "set_task, e_stop, resume", (48, 8))
    canvas.arrow((690, 425), (530, 425), "start, stop episode")
    canvas.text(20, 220, "Images and joint states", "left")
    canvas.text(20, 234, "go to the recorder as well.", "left")
    canvas.save(path)


def draw_chunk(path: Path) -> None:
    """What happens between the exposure of an image and the motion, by who does it. Not to scale."""
    canvas = Canvas(WIDTH, 430)
    lanes = {"camera": 60, "inference_node": 135, "policy_node": 235, "controllers": 335}
    for name, y in lanes.items():
        canvas.text(15, y, name, "left", weight="bold")
        canvas.axes.plot([120, 845], [y, y], color="#cbd5e0", linewidth=1, zorder=0)
    canvas.box(126, 42, (70, 36), ["exposure"], GREY)
    canvas.box(210, 42, (80, 36), ["image,", "stamp t"], GREY)
    canvas.box(130, 214, (80, 42), ["request 7:", "task, epoch"], BLUE)
    canvas.box(310, 117, (62, 36), ["read,", "decode"], ORANGE)
    canvas.box(378, 117, (62, 36), ["encode"], ORANGE)
    canvas.box(446, 117, (62, 36), ["sample"], ORANGE)
    canvas.box(535, 208, (66, 54), ["refuse?", "ensemble,", "splice"], BLUE)
    canvas.box(607, 208, (66, 54), ["limits,", "plan check"], BLUE)
    canvas.box(700, 317, (140, 36), ["interpolate knots"], GREEN)
    canvas.arrow((170, 214), (318, 153), "waits for an image of t or newer", (-26, 2))
    canvas.arrow((290, 66), (330, 117), "")
    canvas.arrow((508, 140), (560, 208), "chunk for 7 and t", (56, -4))
    canvas.arrow((673, 250), (735, 317), "plan, one stamp", (52, -6))
    canvas.arrow((640, 262), (640, 296), "")
    canvas.text(640, 304, "request 8", on="white")
    # What a plan is made of, below the lanes.
    y = 385
    for x, width, line, colour in (
        (130, 120, "0.13 s before now", GREY),
        (250, 170, "two knots, as sent before", GREY),
        (420, 80, "cross-fade", ORANGE),
        (500, 210, "the new target, by ensembling", BLUE),
        (710, 130, "brakes to rest", RED),
    ):
        canvas.axes.barh(y, width, height=30, left=x, color=colour, edgecolor=EDGE, linewidth=0.8)
        canvas.text(x + width / 2, y, line)
    canvas.text(15, y, "a plan", "left", weight="bold")
    canvas.axes.plot([250, 250], [366, 404], color=EDGE, linewidth=1.5)
    canvas.text(250, 416, "now")
    canvas.text(840, 416, "plan_horizon: every plan ends at rest", "right")
    canvas.save(path)


def packages_of(layer: Path) -> list[str]:
    """Names of a layer's packages; of a layer without any, its modules."""
    folders = sorted(each.name for each in layer.iterdir() if (each / "__init__.py").is_file())
    return folders or sorted(each.stem for each in layer.glob("*.py") if each.stem != "__init__")


def wrapped(words: list[str], width: int) -> list[str]:
    """Lines of at most `width` characters, with commas."""
    lines = [""]
    for word in words:
        longer = f"{lines[-1]}, {word}" if lines[-1] else word
        lines = [*lines[:-1], longer] if len(longer) <= width else [*lines, word]
    return lines


def draw_layers(package: Path, path: Path) -> None:
    """Layers and their packages, as the folders are. A layer imports those below it."""
    canvas, y = Canvas(WIDTH, 540), 15.0
    colours = {"policy": ORANGE, "training": ORANGE, "sim": GREY, "data": GREEN}
    for name in LAYERS:
        if name in SIDE_BY_SIDE[1:]:
            continue
        row = SIDE_BY_SIDE if name == "policy" else (name,)
        width = (WIDTH - 40 - 10 * (len(row) - 1)) / len(row)
        texts = {
            each: [each, LAYERS[each], *wrapped(packages_of(package / each), round(width / 6.4))]
            for each in row
        }
        height = 13.0 * max(map(len, texts.values())) + 14
        for number, (each, lines) in enumerate(texts.items()):
            x = 20 + number * (width + 10)
            canvas.box(x, y, (width, height), lines, colours.get(each, BLUE))
        y += height + 22
        if name != "core":
            canvas.arrow((WIDTH / 2, y - 22), (WIDTH / 2, y), "")
    canvas.save(path)
