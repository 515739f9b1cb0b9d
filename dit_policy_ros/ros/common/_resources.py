# SPDX-License-Identifier: Apache-2.0
"""What a node has made and must give back: threads, locks, memory, and the entities of its ROS graph."""

import contextlib
import itertools
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rclpy.action.client import ActionClient
from rclpy.action.server import ActionServer
from rclpy.client import Client
from rclpy.guard_condition import GuardCondition
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import LifecyclePublisher
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from rosgraph_msgs.msg import Clock

from dit_policy_ros.core.errors import DitPolicyError


class Resources:
    """Things to release, newest first. A release that fails is logged, and the others follow all the same.

    A class that a node makes is released whole or not at all: if its constructor raises, it releases what it
    has made so far, except publishers, subscriptions, timers, services, clients and action clients. Those
    belong to the node, and ``collecting`` finds them.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        self._logger = logger
        self._stack = contextlib.ExitStack()
        self._failed = False

    def add[R](self, resource: R, release: Callable[[R], object]) -> R:
        """Own `resource` until it is released by `release(resource)`. Returns the resource."""
        self.callback(lambda: release(resource))
        return resource

    def callback(self, release: Callable[[], object]) -> None:
        """Call `release` at its turn."""
        self._stack.callback(self._release_one, release)

    @contextlib.contextmanager
    def collecting(self, node: Node) -> Iterator[None]:
        """Own every ROS entity that the node has gained by the end of the block, also if the block raises.

        They are destroyed after everything that the block adds itself, because that may still use them.
        """
        before = list(_entities(node))
        gained: list[Any] = []
        self.callback(lambda: _destroy(node, gained))
        try:
            yield
        finally:
            gained += [each for each in _entities(node) if not _is_among(each, before)]

    @contextlib.contextmanager
    def released_if_it_fails(self, node: Node) -> Iterator[None]:
        """For the constructor of a node without a lifecycle: if the block raises, nothing remains."""
        try:
            with self.collecting(node):
                yield
        except BaseException:
            self.release_all()
            node.destroy_node()
            raise

    def release_all(self) -> bool:
        """Release everything. Returns whether every release succeeded."""
        self._failed = False
        self._stack.close()  # pops as it goes, so that no release runs twice
        return not self._failed

    def _release_one(self, release: Callable[[], object]) -> None:
        try:
            release()
        except DitPolicyError as error:
            self._failed = True
            self._logger.error(f"cannot release everything: {error}")
        except Exception:  # noqa: BLE001 - the other resources must be released, too
            self._failed = True
            self._logger.error(f"unexpected error while releasing a resource:\n{traceback.format_exc()}")


def _entities(node: Node) -> Iterator[Any]:
    """Everything that the node has in the ROS graph.

    Not the subscription of /clock: rclpy makes it whenever use_sim_time becomes true, maybe while the node
    configures, and destroys it itself.
    """
    yield from node.publishers
    yield from (each for each in node.subscriptions if each.msg_type is not Clock)
    yield from itertools.chain(node.clients, node.services, node.timers, node.guards)
    yield from (each for each in node.waitables if isinstance(each, ActionClient | ActionServer))


def _is_among(entity: Any, entities: Iterable[Any]) -> bool:
    return any(each is entity for each in entities)


def _destroy(node: Node, entities: Iterable[Any]) -> None:
    """Destroy those entities that the node still has, last kind first. One that fails stops no other."""
    with contextlib.ExitStack() as stack:
        for entity in entities:
            stack.callback(_destroy_one, node, entity)


def _destroy_one(node: Node, entity: Any) -> None:
    destroyers: tuple[tuple[Any, Callable[[Any], object]], ...] = (
        (LifecyclePublisher, getattr(node, "destroy_lifecycle_publisher", node.destroy_publisher)),
        (Publisher, node.destroy_publisher),
        (Subscription, node.destroy_subscription),
        (Client, node.destroy_client),
        (Service, node.destroy_service),
        (Timer, node.destroy_timer),
        (GuardCondition, node.destroy_guard_condition),
        (ActionClient | ActionServer, lambda action: action.destroy()),
    )
    destroy = next(destroy for kind, destroy in destroyers if isinstance(entity, kind))
    if _is_among(entity, _entities(node)):
        destroy(entity)
