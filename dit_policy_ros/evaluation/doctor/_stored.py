# SPDX-License-Identifier: Apache-2.0
"""Checks of a dataset and a checkpoint against the contract."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.policy_interface import check_policy, match_policy
from dit_policy_ros.data.dataset import DatasetSpec, check_compatible, check_readable
from dit_policy_ros.evaluation.doctor._findings import Finding, note, ok, problem
from dit_policy_ros.ros.inference_protocol import policy_options


def dataset(root: Path, contract: Contract) -> Iterator[Finding]:
    """Whether episodes of this robot can be added to a dataset."""
    if not root.exists():
        yield note("dataset", f"{root} does not exist yet: the recorder creates it")
        return
    try:
        check_compatible(root, check_readable(root), DatasetSpec.from_contract(contract))
    except DitPolicyError as error:
        yield problem("dataset", str(error), "record into a new folder, or use the contract of the dataset")
    else:
        yield ok("dataset", f"{root} fits the contract")


def checkpoint(path: str, contract: Contract, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether a checkpoint fits the contract; it is loaded as the policy node would.

    settings: the policy node's parameters.
    """
    from dit_policy_ros.policy import load_policy, pinned  # torch takes seconds to import

    try:
        policy = match_policy(
            load_policy(pinned(path), **policy_options(settings)),
            contract.layout.names,
            contract.dataset_names,
            contract.trained_cameras,
            contract.vectors,
        )
        check_policy(policy, contract)
    except (DitPolicyError, OSError) as error:
        yield problem("checkpoint", str(error), "correct the contract, or use a checkpoint of this robot")
        return
    tasks = f"; it knows {len(policy.known_tasks)} tasks" if policy.known_tasks else ""
    yield ok("checkpoint", f"{path} fits the contract, on {policy.device}{tasks}")
