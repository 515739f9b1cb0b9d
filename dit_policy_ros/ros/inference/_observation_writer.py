# SPDX-License-Identifier: Apache-2.0
"""Writes the observations of an incident when the policy node asks for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.errors import IncidentError
from dit_policy_ros.core.incidents import IncidentRing
from dit_policy_ros.data.incident_folder import default_directory, write_observations
from dit_policy_ros.ros.inference_protocol import this_host
from dit_policy_ros.srv import SaveObservations


def save_observations(
    request: SaveObservations.Request,
    response: SaveObservations.Response,
    ring: IncidentRing,
    facts: Callable[[], dict[str, Any]],
    logger: RcutilsLogger,
) -> None:
    """Write what the ring holds now, and fill the response.

    On the policy node's computer it goes where the policy node says. On another one it goes into our own
    parameter ``incident_directory``, under the incident's name.
    """
    snapshot, described = ring.snapshot(), facts()
    response.host = this_host()
    own = Path(described["parameters"].get("incident_directory") or default_directory()).expanduser()
    is_here = request.host == response.host
    folder = Path(request.folder) if is_here else own / Path(request.name).name
    response.folder = str(folder)
    try:
        write_observations(folder, snapshot.inferences, described)
    except (IncidentError, OSError) as error:
        response.message = str(error)
        logger.error(f"cannot write the observations of an incident: {error}")
        return
    response.success = True
    if not is_here:
        logger.info(f"observations of the incident {request.name} written to {folder}")
