# SPDX-License-Identifier: Apache-2.0
"""The rows of a raw image message."""

import numpy as np
from sensor_msgs.msg import Image

from dit_policy_ros.core.errors import StreamError


def packed_rows(msg: Image, row_bytes: int, rows: int) -> np.ndarray:
    """The image's bytes without row padding, (rows, row_bytes). A view of the message if there is none.

    Raises StreamError if they are too few.
    """
    step = msg.step or row_bytes
    what = f"image of {msg.width}x{msg.height} '{msg.encoding}'"
    if step < row_bytes:
        raise StreamError(
            f"{what}: step {step} is less than the {row_bytes} bytes of a row; the driver fills it in wrongly"
        )
    if len(msg.data) < step * rows:
        raise StreamError(
            f"{what} with step {msg.step} carries {len(msg.data)} bytes; {step * rows} are needed"
        )
    packed = np.frombuffer(msg.data, dtype=np.uint8, count=step * rows).reshape(rows, step)
    return packed if step == row_bytes else np.ascontiguousarray(packed[:, :row_bytes])
