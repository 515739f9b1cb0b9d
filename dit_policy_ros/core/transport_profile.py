# SPDX-License-Identifier: Apache-2.0
"""Selects the Fast DDS profile that processes which publish images need."""

from collections.abc import Mapping

from dit_policy_ros.core.share import share_directory

PROFILE, OLD_PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
USERS_CHOICE = (PROFILE, OLD_PROFILE, "FASTDDS_BUILTIN_TRANSPORTS")


def profile_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variable that selects config/fastdds.xml. Empty if the user set a profile or transports.

    Jazzy reads only the old name. Kilted and newer read both, and would load the file twice with an error.
    """
    if any(environment.get(name) for name in USERS_CHOICE):
        return {}
    name = OLD_PROFILE if environment.get("ROS_DISTRO") == "jazzy" else PROFILE
    return {name: str(share_directory() / "config" / "fastdds.xml")}
