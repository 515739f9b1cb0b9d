# SPDX-License-Identifier: Apache-2.0
"""The topics of a leader whose joints come on several."""

from collections.abc import Sequence

from dit_policy_ros.core.contract import JointStateTopic
from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.problems import listing


def topics_with_prefixes(
    group: str, topics: Sequence[str], prefixes: Sequence[str]
) -> tuple[JointStateTopic, ...]:
    """The topics of a group of parameters, as `takeover`; none if `topics` is empty.

    Args:
        group: whose `topics` and `prefixes` they are, for messages.
        topics: their names; empty ones do not count.
        prefixes: by topic, what is put before the names in its messages; all empty: none.

    Raises:
        ParameterError: a topic is there twice, or the prefixes do not belong to the topics.
    """
    topics = tuple(topic for topic in topics if topic)
    if not topics:
        if any(prefixes):
            raise ParameterError(f"{group}.prefixes: expected none without {group}.topics; add the topics")
        return ()
    if len(set(topics)) < len(topics):
        raise ParameterError(f"{group}.topics: expected different topics, got {listing(topics)}")
    if not any(prefixes):
        prefixes = ("",) * len(topics)
    if len(prefixes) != len(topics):
        raise ParameterError(
            f"{group}.prefixes: expected one for each of {listing(topics)}, got {len(prefixes)}: "
            f"{listing(map(repr, prefixes))}"
        )
    return tuple(map(JointStateTopic, topics, prefixes))
