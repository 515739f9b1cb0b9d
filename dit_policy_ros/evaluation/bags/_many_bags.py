# SPDX-License-Identifier: Apache-2.0
"""Converts many bags into one dataset, on several workers.

Each bag becomes a dataset of its own, a part, in the folder DATASET.parts. When all bags are done, LeRobot's
aggregation makes one dataset of the parts, which then takes the place of DATASET. Interrupted at whatever
point, the same call continues: parts that are finished are kept.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dit_policy_ros.core.atomic_files import make_folders, write_atomically
from dit_policy_ros.core.errors import DatasetError, DitPolicyError
from dit_policy_ros.data.dataset import check_compatible, read_records
from dit_policy_ros.data.description import inspect_folder
from dit_policy_ros.data.lock import DatasetLock
from dit_policy_ros.data.merging import check_settled, merge_datasets, replace_dataset
from dit_policy_ros.evaluation.bags._conversion import BagToDataset, RecorderSettings
from dit_policy_ros.evaluation.bags._segment_choice import SegmentChoice
from dit_policy_ros.evaluation.workers import SharedFolder, Workers, run_shards
from dit_policy_ros.ros.bags import Bag, Converted, source_of
from dit_policy_ros.ros.recorder import dataset_spec

_FACTS = "conversion.json"
_MERGED_AT_ONCE = 32  # parts; each merge writes its videos anew, so thousands are merged as a tree


@dataclass(frozen=True, slots=True)
class BagJob:
    """One bag, and where its part goes. done: the sources of the episodes that the dataset has already."""

    bag: Path
    settings: RecorderSettings
    namespace: str
    where: SegmentChoice
    part: Path
    folder: SharedFolder
    done: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class BagResult:
    """What became of a bag.

    Attributes:
        bag: its path.
        converted: of its episodes (``ros.bags.Converted``); indices are those in the part.
        skipped: episodes that were there already.
        warnings: about samples that could not be used.
        problem: why the bag could not be converted; empty if it could.
    """

    bag: Path
    converted: list[Converted]
    skipped: int
    warnings: list[str]
    problem: str = ""


class ManyBags:
    """Converts bags. Use it as a context manager, which keeps others from converting into the same dataset.

    Args:
        bags: folders, or .mcap and .db3 files.
        settings: of the recorder.
        dataset: folder, created or extended.
        namespace: of the robot's topics in the bags.
        where: the episodes are in each bag.
        workers: which convert.

    Raises:
        DatasetError: the dataset cannot be extended, or its parts are of another conversion.
    """

    def __init__(
        self,
        bags: Sequence[Path],
        settings: RecorderSettings,
        dataset: Path,
        namespace: str,
        where: SegmentChoice,
        workers: Workers,
    ) -> None:
        self._bags = list(dict.fromkeys(bag.absolute() for bag in bags))
        self._dataset, self._workers = dataset.absolute(), workers
        self._parts = self._dataset.with_name(f"{self._dataset.name}.parts")
        spec = dataset_spec(settings.parameters, settings.contract)
        info = inspect_folder(self._dataset)
        if info is not None:
            check_compatible(self._dataset, info, spec)
        check_settled(self._dataset)
        make_folders(self._parts)
        self._lock = DatasetLock(self._parts / "lock", self._dataset)
        try:
            self._check_facts(settings, namespace, where)
            folder = SharedFolder.mark(self._parts)
            done: dict[str, list[dict[str, Any]]] = {}
            for source in _sources(self._dataset):
                done.setdefault(source["bag"], []).append(source)
            self._jobs = [
                BagJob(
                    bag, settings, namespace, where, self._part_of(bag), folder, tuple(done.get(bag.name, ()))
                )
                for bag in self._bags
            ]
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "ManyBags":
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if not any(path.is_dir() for path in self._parts.iterdir()):
            shutil.rmtree(self._parts)

    @property
    def total(self) -> int:
        """Number of different bags."""
        return len(self._bags)

    def convert(self) -> Iterator[BagResult]:
        """Convert each bag; yields what became of each, in any order. A bag's mistake stops no other.

        Raises:
            WorkersError: the workers cannot be used, or one was lost.
            DatasetError: the dataset's disk failed.
        """
        for _, result in run_shards(convert_bag, self._jobs, self._workers):
            yield result

    def merge(self) -> int:
        """Put the parts of all bags into the dataset, in the order of the bags; returns its episodes.

        Raises:
            DatasetError: LeRobot cannot merge them, or the disk failed. Parts and dataset are as before.
        """
        done = list(_sources(self._dataset))
        parts = [
            job.part
            for job in self._jobs
            if inspect_folder(job.part) is not None
            # A part stays behind if the last call ended between the merge and the removal of the parts.
            and not any(source in done for source in _sources(job.part))
        ]
        if parts:
            has_dataset = inspect_folder(self._dataset) is not None
            merged = self._merge_tree([*([self._dataset] if has_dataset else []), *parts])
            replace_dataset(self._dataset, merged)
        for path in self._parts.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        info = inspect_folder(self._dataset)
        return 0 if info is None else int(info["total_episodes"])

    def _merge_tree(self, sources: list[Path]) -> Path:
        level = 0
        while True:
            groups = [
                (tuple(sources[first : first + _MERGED_AT_ONCE]), self._parts / f"merged_{level}_{first:06d}")
                for first in range(0, len(sources), _MERGED_AT_ONCE)
            ]
            for _ in run_shards(_merge_group, groups, self._workers):
                pass
            sources, level = [target for _, target in groups], level + 1
            if len(sources) == 1:
                return sources[0]

    def _part_of(self, bag: Path) -> Path:
        digest = hashlib.sha256(str(bag).encode()).hexdigest()[:12]
        return self._parts / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', bag.name)}.{digest}"

    def _check_facts(self, settings: RecorderSettings, namespace: str, where: SegmentChoice) -> None:
        """DatasetError if the parts that are there were made with other settings."""
        facts = json.loads(
            json.dumps(
                {"settings": repr(settings), "namespace": namespace, "where": asdict(where)}, default=str
            )
        )
        path = self._parts / _FACTS
        if path.is_file():
            before = json.loads(path.read_text())
            differing = [name for name in facts if before.get(name) != facts[name]]
            if differing and any(place.is_dir() for place in self._parts.iterdir()):
                raise DatasetError(
                    f"{self._parts} holds parts of an interrupted conversion with other "
                    f"{', '.join(differing)}. Finish it with the same options, or remove this folder"
                )
        write_atomically(path, json.dumps(facts, indent=2))


def convert_bag(job: BagJob) -> BagResult:
    """Make a bag's part complete, in this process.

    Raises:
        WorkersError: this machine does not see the folder of the parts.
    """
    job.folder.check()
    warnings: list[str] = []
    converted: list[Converted] = []
    skipped = 0
    try:
        with Bag(job.bag) as bag:
            conversion = BagToDataset(bag, job.settings, job.part, job.namespace, warnings.append)
            segments = job.where.find(bag, job.settings.parameters["task"])
            missing = [segment for segment in segments if source_of(job.bag, segment) not in job.done]
            skipped = len(segments) - len(missing)
            if missing:
                with conversion:
                    left = conversion.missing(missing)
                    skipped += len(missing) - len(left)
                    converted.extend(conversion.convert(left, lambda done: None))
    except DitPolicyError as error:
        return BagResult(job.bag, converted, skipped, warnings, str(error))
    return BagResult(job.bag, converted, skipped, warnings)


def _merge_group(group: tuple[tuple[Path, ...], Path]) -> None:
    sources, target = group
    merge_datasets(sources, target)


def _sources(dataset: Path) -> Iterator[dict[str, Any]]:
    """Where each converted episode of a dataset comes from, as ``ros.bags.source_of`` says it."""
    for record in read_records(dataset).values():
        if "bag" in record.figures:
            yield {name: record.figures.get(name) for name in ("bag", "bag_start_ns")}
