# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS profile that senders of images need, for whoever starts them."""

from collections.abc import Mapping

from dit_policy_ros.core.share import share_directory

PROFILE, OLD_PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
USERS_CHOICE = (PROFILE, OLD_PROFILE, "FASTDDS_BUILTIN_TRANSPORTS")


def profile_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that selects config/fastdds.xml; empty where the user chose a profile or transports.

    Jazzy reads only the old name; Kilted and newer load a file that both names give twice, and complain.
    """
    if any(environment.get(name) for name in USERS_CHOICE):
        return {}
    name = OLD_PROFILE if environment.get("ROS_DISTRO") == "jazzy" else PROFILE
    return {name: str(share_directory() / "config" / "fastdds.xml")}
