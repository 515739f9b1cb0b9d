# SPDX-License-Identifier: Apache-2.0
"""Writes a bag's episodes into a dataset as the recorder would have recorded them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy import Context
from rclpy.exceptions import InvalidNamespaceException
from rclpy.node import Node
from rclpy.validate_namespace import validate_namespace

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.data.dataset import read_records
from dit_policy_ros.data.recording import DatasetWriter, Recover
from dit_policy_ros.ros.bags import Bag, BagConverter, absolute, source_of
from dit_policy_ros.ros.common import declare_parameters, read_parameters, resolved_parameters
from dit_policy_ros.ros.recorder import (
    RECORDER_PARAMETERS,
    action_settings,
    dataset_naming,
    dataset_spec,
    thresholds,
    video_settings,
)


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """The robot's contract, and the recorder's parameters by name."""

    contract: Contract
    parameters: dict[str, Any]


def read_recorder_settings(path: Path, context: Context, namespace: str = "") -> RecorderSettings:
    """Read a parameter file as a recorder node in a namespace does.

    Raises:
        DitPolicyError: there is no such file, or a value in it is wrong.
    """
    if not path.is_file():
        raise DitPolicyError(f"--config: {path} is no file")
    try:
        validate_namespace("/" + namespace.strip("/"))
    except InvalidNamespaceException as error:
        raise DitPolicyError(f"--namespace: {error}") from error
    arguments = {
        "context": context,
        "namespace": namespace,
        "cli_args": ["--ros-args", "--params-file", str(path)],
    }
    with resolved_parameters("recorder", arguments) as options:
        node = Node("recorder", automatically_declare_parameters_from_overrides=True, **options)
    try:
        declare_parameters(node, RECORDER_PARAMETERS)
        return RecorderSettings(*read_parameters(node, RECORDER_PARAMETERS))
    finally:
        node.destroy_node()


class BagToDataset:
    """Converts a bag's episodes. Use it as a context manager, which opens and closes the dataset.

    Args:
        bag: an open bag.
        settings: of the recorder.
        dataset: folder, created or extended.
        namespace: of the robot's topics in the bag.
        report: called with a message about each sample that cannot be used.

    Attributes:
        messages: how many messages of the bag are read at most.

    Raises:
        DatasetError: the bag lacks a topic that the recorder needs, or the dataset cannot be opened.
    """

    def __init__(
        self,
        bag: Bag,
        settings: RecorderSettings,
        dataset: Path,
        namespace: str,
        report: Callable[[str], None],
    ) -> None:
        contract, parameters = settings.contract, settings.parameters
        self._bag, self._settings, self._dataset = bag, settings, dataset
        self._converter = BagConverter(
            contract,
            action_settings(parameters, contract.joints),
            thresholds(parameters),
            namespace,
            report,
        )
        self._converter.check_topics(bag)
        self.messages = bag.count(absolute(each.topic, namespace) for each in self._converter.inputs())

    def __enter__(self) -> "BagToDataset":
        contract, parameters = self._settings.contract, self._settings.parameters
        self._writer = DatasetWriter(
            self._dataset,
            dataset_spec(parameters, contract),
            video=video_settings(parameters),
            recover=Recover.DISCARD,  # an episode that an interrupted run left incomplete is converted again
            naming=dataset_naming(parameters, contract),
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.finalize()

    def missing(self, segments: Sequence[Any]) -> list[Any]:
        """Those of the bag's episodes that the dataset does not have yet."""
        done = [record.figures for record in read_records(self._dataset).values()]
        return [
            segment
            for segment in segments
            if not any(source_of(self._bag.path, segment).items() <= figures.items() for figures in done)
        ]

    def convert(self, segments: Sequence[Any], on_progress: Callable[[int], None]) -> Iterator[Any]:
        """Write the episodes; yields what became of each (``ros.bags.Converted``).

        Args:
            segments: the episodes, in order.
            on_progress: called with the number of messages read so far.

        Raises:
            DatasetError: the dataset cannot be written.
        """
        yield from self._converter.convert(self._bag, segments, self._writer, on_progress)
