# SPDX-License-Identifier: Apache-2.0
"""Begins scenes of the simulator, and says how they vary."""

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from std_srvs.srv import Trigger

from dit_policy_ros.evaluation.session import Session, SessionError
from dit_policy_ros.sim.robot import Variation

MAX_SLOWDOWN = 4.0  # on a busy computer the simulation may take this many times real time


def reset_scene(session: Session, seed: int) -> None:
    """Let the simulator begin the scene of a seed. Raises SessionError when it refuses."""
    value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
    request = SetParameters.Request(parameters=[Parameter(name="seed", value=value)])
    result = session.call_service(SetParameters, "/sim/set_parameters", request).results[0]
    if not result.successful:
        raise SessionError(f"the simulator refuses seed {seed}: {result.reason}")
    answer = session.call_service(Trigger, "/sim/reset", Trigger.Request())
    if not answer.success:
        raise SessionError(f"the simulator does not begin a new scene: {answer.message}")


def variation_parameters(variation: Variation) -> dict[str, str]:
    """How much the look of scenes varies, as parameters of sim_node."""
    return {"camera_jitter": str(variation.camera_jitter), "lighting": str(variation.lighting)}
