# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS profile that senders of images need, for whoever starts them."""

from collections.abc import Mapping

from dit_policy_ros.core.share import share_directory

# Fast DDS 3 (Kilted and newer) reads the first, Fast DDS 2 (Jazzy) the second.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
USERS_CHOICE = (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")


def profile_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that select config/fastdds.xml; empty where the user chose a profile or transports."""
    if any(environment.get(name) for name in USERS_CHOICE):
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, str(share_directory() / "config" / "fastdds.xml"))
