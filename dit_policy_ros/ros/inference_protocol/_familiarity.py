# SPDX-License-Identifier: Apache-2.0
"""How familiar an instruction is, as the answer of the inference node's ``~/judge_task``.

The service is a SetTask that sets nothing: ``success`` says whether there is a judgement, ``message`` has its
figures as JSON, and ``known_tasks`` the nearest known instructions.
"""

import json
import math

from dit_policy_ros.core.policy_interface import Familiarity
from dit_policy_ros.srv import SetTask


def fill_familiarity(response: SetTask.Response, familiarity: Familiarity | None) -> SetTask.Response:
    """Write a judgement into an answer; None: the checkpoint cannot tell."""
    response.success = familiarity is not None
    if familiarity is not None:
        figures = {
            "similarity": familiarity.similarity,
            "threshold": familiarity.threshold,
            "meant": familiarity.meant,
            "doubt": familiarity.doubt,
        }
        response.message, response.known_tasks = json.dumps(figures), list(familiarity.nearest)
    return response


def familiarity_from(response: SetTask.Response) -> Familiarity | None:
    """Read it again.

    Raises:
        ValueError: the answer is malformed.
    """
    if not response.success:
        return None
    try:
        figures = json.loads(response.message)
        similarity, threshold = figures["similarity"], figures["threshold"]
        meant, doubt = figures["meant"], figures["doubt"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"expected the figures of a judgement, got {response.message!r}") from error
    for value in (similarity, 0.0 if threshold is None else threshold):
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"expected finite figures, got {response.message!r}")
    if not (meant is None or isinstance(meant, str)) or not isinstance(doubt, str):
        raise ValueError(f"expected texts, got {response.message!r}")
    limit = None if threshold is None else float(threshold)
    return Familiarity(float(similarity), limit, tuple(response.known_tasks), meant, doubt)
