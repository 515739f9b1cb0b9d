# SPDX-License-Identifier: Apache-2.0
"""The panel without its page: everything that the page shows and asks for, and the thread that runs it."""

import contextlib
import threading
from dataclasses import dataclass, field

from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from dit_policy_ros.evaluation.panel._charge import LOST_AFTER, Charge
from dit_policy_ros.evaluation.panel._client import PanelClient
from dit_policy_ros.evaluation.panel._dataset_edits import DatasetEdits
from dit_policy_ros.evaluation.panel._episodes import EpisodeShelf
from dit_policy_ros.evaluation.panel._grace import SECONDS, Grace
from dit_policy_ros.evaluation.panel._headline import Headline, headline
from dit_policy_ros.evaluation.panel._operator import ENDINGS, Operator
from dit_policy_ros.evaluation.panel._tasks import TaskProgress, progress

_PERIOD = 0.05  # [s] of the operator's timer


@dataclass(frozen=True, slots=True)
class PanelSettings:
    """policy, recorder: full names of the nodes. tasks: of the day. goal: wanted episodes of each task.

    lost_after: time without a heartbeat after which the page in charge counts as lost [s]. undo: time in
    which a word can be taken back [s].
    """

    policy: str = "/policy"
    recorder: str = "/recorder"
    tasks: tuple[str, ...] = ()
    goal: int = 50
    lost_after: float = LOST_AFTER
    undo: float = SECONDS


@dataclass(slots=True)
class Panel:
    """All parts together. Use it as a context manager: it spins the node in a thread of its own."""

    node: Node
    settings: PanelSettings
    client: PanelClient = field(init=False)
    shelf: EpisodeShelf = field(init=False)
    operator: Operator = field(init=False)
    _executor: SingleThreadedExecutor = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.client = PanelClient(self.node, self.settings.policy, self.settings.recorder)
        self.shelf = EpisodeShelf()
        edits = DatasetEdits(self.client, on_edited=self.shelf.forget)
        charge, grace = Charge(self.settings.lost_after), Grace(seconds=self.settings.undo)
        self.operator = Operator(self.client, charge, grace, edits)
        self.operator.task = self.settings.tasks[0] if self.settings.tasks else ""
        self.node.create_timer(_PERIOD, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def __enter__(self) -> "Panel":
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name="ros", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join(5.0)

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _tick(self) -> None:
        self.operator.tick()
        edits = self.operator.edits
        if (status := self.client.recorder) is not None and not edits.is_busy:
            self.shelf.refresh(status.dataset, edits.generation)

    def headline(self, now: float) -> Headline:
        """The word, its colour and the next step. now: ``time.monotonic()`` [s]."""
        client, grace = self.client, self.operator.grace
        report = client.report
        failed = report if report is not None and not report.passed else None
        found = headline(client.policy, client.recorder, failed, now - client.running_since)
        if grace.waits and (held := grace.held) is not None and held.name in ENDINGS:
            word = f"{held.name.upper()} {grace.remaining():.0f}"
            return Headline(word, found.color, "press Undo to keep on recording", found.reason, found.seconds)
        return found

    def tasks(self) -> list[TaskProgress]:
        """The tasks of the day and of the dataset, with their counts."""
        done = dict(self.shelf.shelf.done or {})
        if self.operator.task:
            done.setdefault(self.operator.task, 0)
        return progress(self.settings.tasks, done, self.settings.goal)

    def known_tasks(self) -> list[str]:
        """All tasks that a text can mean."""
        return list(dict.fromkeys([*(each.task for each in self.tasks()), *self.client.known_tasks]))
