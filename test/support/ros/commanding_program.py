# SPDX-License-Identifier: Apache-2.0
"""A program whose loop swings the arms of the small robot: `commanding_program.py CONFIG [leap|nan]`.

leap: one arm is sent 1 rad away at once. nan: a command is no number.
"""

import math
import sys
import time
from pathlib import Path

import numpy as np

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.commanding import CommandSettings, GuardedRobot
from dit_policy_ros.ros.survey import read_contract_file


def main(config: Path, fault: str) -> None:
    robot = GuardedRobot(
        read_contract_file(config).contract,
        CommandSettings(config, wait=180.0, silence=180.0, parameters={"link_timeout": "3.0"}),
    )
    robot.connect()
    begin = robot.observe().joints
    print(f"moves {robot.motion.pid}", flush=True)
    started = time.monotonic()
    try:
        while True:
            elapsed = time.monotonic() - started
            pose = begin + np.array([0.3, 0.0, -0.3, 0.0]) * math.sin(elapsed) * min(elapsed, 1.0)
            if fault == "leap" and elapsed > 2.0:
                pose[0] = begin[0] + 1.0
            if fault == "nan" and elapsed > 2.0:
                pose[0] = math.nan
            robot.observe()
            robot.command(pose)
            time.sleep(1 / 30)
    except StreamError as error:
        print(f"refused: {error}", flush=True)
        time.sleep(1e6)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "".join(sys.argv[2:]))
