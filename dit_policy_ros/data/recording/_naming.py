# SPDX-License-Identifier: Apache-2.0
"""Records frames under the names and in the units of other people's datasets, as the contract states them.

The policy node reads the same `dataset_names` and `trained_as` the other way round. So a dataset that is
recorded in this way extends, or is merged with, the one that a checkpoint was trained on. Poses of
end effectors get their entries here, too. Shapes: A joints, E entries.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Contract, DatasetName
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.core.poses import EntryLayout
from dit_policy_ros.core.problems import Problems, listing
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.video import CameraImage


@dataclass(frozen=True, slots=True, eq=False)
class Naming:
    """How a robot's frames are recorded.

    spec: what the dataset consists of, in its own names. layout: the entries that the joints have. scale,
    offset: of each entry, (E,). sources: the dataset's names of cameras and vectors, by the robot's.
    """

    spec: DatasetSpec
    layout: EntryLayout
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    sources: Mapping[str, str]

    @classmethod
    def of(cls, contract: Contract) -> "Naming":
        """The names and units that a contract states.

        Raises:
            ContractError: several entries come from one joint: which of them is commanded is not known.
            DatasetError: fps is not a whole number.
        """
        problems = Problems("dataset_names")
        entries, layout = [], contract.layout
        for joint in layout.names:
            found = [each for each in contract.dataset_names if each.joint == joint]
            if len(found) > 1:
                problems.add_line(
                    f"{listing(each.name for each in found)} come from '{joint}'; a recorded action has one "
                    "entry for each joint. Leave one of them, or record with recorded_names: contract"
                )
            entries.append(found[0] if found else DatasetName(joint, joint))
        names = [entry.name for entry in entries]
        streams = [each.dataset_name for each in (*contract.cameras, *contract.vectors)]
        for twice in sorted({name for found in (names, streams) for name in found if found.count(name) > 1}):
            problems.add_line(f"two entries, cameras or vectors are called '{twice}' in the dataset")
        problems.raise_if_any(ContractError, "The dataset's names cannot be recorded")
        sources = (*contract.cameras, *contract.vectors)
        spec = replace(
            DatasetSpec.from_contract(contract),
            joints=tuple(names),
            cameras=tuple(replace(each, name=each.dataset_name, trained_as="") for each in contract.cameras),
            vectors=tuple(replace(each, name=each.dataset_name, trained_as="") for each in contract.vectors),
        )
        return cls(
            spec,
            layout,
            np.array([entry.scale for entry in entries]),
            np.array([entry.offset for entry in entries]),
            {each.name: each.dataset_name for each in sources},
        )

    @classmethod
    def of_poses(cls, contract: Contract) -> "Naming":
        """The contract's own names, with the entries of the poses."""
        layout = contract.layout
        ones = np.ones(len(layout.names))  # (E,)
        return cls(DatasetSpec.from_contract(contract), layout, ones, 0.0 * ones, {})

    def entries(self, joints: NDArray[np.floating]) -> NDArray[np.float64]:
        """The entries (E,) of joint values (A,) [rad or m]."""
        return self.layout.to_entries(np.asarray(joints, dtype=np.float64)) * self.scale + self.offset

    def images(self, images: Mapping[str, CameraImage]) -> dict[str, CameraImage]:
        """Images by the dataset's names of their cameras."""
        return {self.sources.get(name, name): image for name, image in images.items()}

    def vectors(self, vectors: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Vectors by the dataset's names."""
        return {self.sources.get(name, name): values for name, values in vectors.items()}

    def streams(self, names: Collection[str]) -> tuple[str, ...]:
        """The dataset's names of streams; `joint_states` and `action` keep theirs."""
        return tuple(self.sources.get(name, name) for name in names)
