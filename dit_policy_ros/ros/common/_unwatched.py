# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that no executor watches: what has come waits in the middleware until it is taken."""

from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.subscription import Subscription


class UnwatchedGroup(CallbackGroup):
    """A callback group whose entities are never ready."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing began."""


def waiting_messages(subscription: Subscription) -> Iterator[Any]:
    """Takes what waits, oldest first; nothing once the subscription is destroyed. Not thread-safe."""
    try:
        with subscription.handle:
            while (taken := subscription.handle.take_message(subscription.msg_type, False)) is not None:
                yield taken[0]
    except InvalidHandle:  # destroyed by another thread
        return
