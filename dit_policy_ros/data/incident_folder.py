# SPDX-License-Identifier: Apache-2.0
"""Stores an incident in a folder that a person can browse and `dit_policy replay` can run again.

===================================== ==================================================================
incident.json                         why and when, versions, parameters, recent events
motion.pickle                         the calls of the motion pipeline; only ``read_incident`` reads it
observations/observations.json        the inference node's parameters, one entry per inference
observations/images/<camera>/*.png    the policy's input images by stamp, lossless, RGB
observations/inferences.npz           for inference i: state_<i> float32 (n_obs, D), actions_<i> float32
                                      (T, A), and previous_<i> float64 (horizon, A) if it continued a chunk
===================================== ==================================================================

The folder ``observations`` is the inference node's part. It is missing where that node had died; where it ran
on another computer, it is there, in that computer's incident directory, under the incident's name: copy it
into the incident's folder as ``observations``. Format 1 had one process, and everything in one folder.
"""

import json
import math
import os
import pickle
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.atomic_files import sync_file, write_folder_atomically
from dit_policy_ros.core.errors import IncidentError
from dit_policy_ros.core.incidents import Incident, Inference, MotionSegment, unpickle
from dit_policy_ros.core.motion import Continuation

FORMAT = 2
_OBSERVATIONS = "observations"
_FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # several times faster, files only a few percent larger


@dataclass(frozen=True, slots=True, eq=False)
class StoredIncident:
    """An incident read from a folder.

    facts: the content of ``incident.json``, which includes what the caller of ``write_incident`` added.
    """

    folder: Path
    facts: dict[str, Any]
    incident: Incident


def default_directory() -> Path:
    """Where incidents go by default: dit_policy_incidents in $ROS_HOME (~/.ros)."""
    return Path(os.environ.get("ROS_HOME") or Path.home() / ".ros") / "dit_policy_incidents"


def write_incident(
    folder: Path,
    segments: Sequence[MotionSegment],
    facts: dict[str, Any],
    observations: Path | None = None,
) -> None:
    """Writes an incident into a new folder, which gets its name only when it is complete.

    Args:
        folder: to be created, with its parents; it must not exist.
        segments: the motion, as the ring recorded it.
        facts: stored in ``incident.json`` as well. What JSON cannot hold is stored all the same: a number
            that is not finite as null, an object of another type as its text.
        observations: a folder that ``write_observations`` has written on this disk; it is moved into the
            incident. None if there is none.

    Raises:
        IncidentError: the folder exists, or the disk is full or not writable. No partial folder remains.
    """

    def write(partial: Path) -> None:
        if observations is not None:
            shutil.move(observations, partial / _OBSERVATIONS)
        (partial / "motion.pickle").write_bytes(pickle.dumps(tuple(segments)))
        _write_json(partial / "incident.json", {"format": FORMAT, **facts})

    try:
        write_folder_atomically(folder, write)
    except OSError as error:
        raise IncidentError(f"the incident cannot be written to {folder}: {error}") from error


def write_observations(folder: Path, inferences: Sequence[Inference], facts: dict[str, Any]) -> None:
    """Writes the inferences of an incident into a new folder, which gets its name only when it is complete.

    Args:
        folder: to be created, with its parents; it must not exist.
        inferences: with their observations.
        facts: about the inference node; they replace those of the same name in ``incident.json``.

    Raises:
        IncidentError: as ``write_incident``.
    """
    try:
        write_folder_atomically(folder, lambda partial: _write_inferences(partial, inferences, facts))
    except (OSError, cv2.error) as error:
        raise IncidentError(f"the observations cannot be written to {folder}: {error}") from error


def read_incident(folder: Path) -> StoredIncident:
    """Reads a folder that ``write_incident`` has written.

    Without the folder ``observations`` there are no inferences.

    Raises:
        IncidentError: the folder is not an incident, is damaged, or has another format version.
    """
    facts_file = folder / "incident.json"
    if not facts_file.is_file():
        raise IncidentError(f"{folder} is not an incident: expected a folder that contains incident.json")
    try:
        facts = json.loads(facts_file.read_text())
        if facts["format"] not in (1, FORMAT):
            raise IncidentError(
                f"{folder}: expected incident format {FORMAT}, got format {facts['format']}, which version "
                f"{facts.get('version', '?')} of this package wrote; replay it with that version"
            )
        place = folder if facts["format"] == 1 else folder / _OBSERVATIONS
        if facts["format"] == FORMAT and (file := place / "observations.json").is_file():
            observed = json.loads(file.read_text())
            parameters = {**facts["parameters"], **observed["parameters"]}  # the inference node's count more
            facts |= {**observed, "parameters": parameters}
        inferences: tuple[Inference, ...] = ()
        if "inferences" in facts:
            with np.load(place / "inferences.npz", allow_pickle=False) as arrays:
                inferences = tuple(
                    _inference(place, entry, i, arrays) for i, entry in enumerate(facts["inferences"])
                )
        segments = unpickle((folder / "motion.pickle").read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IncidentError(f"{folder} is damaged: {type(error).__name__}: {error}") from error
    if not (isinstance(segments, tuple) and all(isinstance(part, MotionSegment) for part in segments)):
        raise IncidentError(f"{folder} is damaged: motion.pickle does not hold motion segments")
    return StoredIncident(folder, facts, Incident(inferences, segments))


def _write_inferences(folder: Path, inferences: Sequence[Inference], facts: dict[str, Any]) -> None:
    arrays: dict[str, NDArray] = {}
    entries = []
    for i, inference in enumerate(inferences):
        arrays[f"state_{i}"] = inference.state
        actions = inference.actions  # the inference thread may set it while we write, so read it once
        if actions is not None:
            arrays[f"actions_{i}"] = actions
        if inference.previous is not None:
            arrays[f"previous_{i}"] = inference.previous.actions
        entries.append(
            {
                "began_ns": inference.began_ns,
                "stamp_ns": inference.stamp_ns,
                "task": inference.task,
                "seed": inference.seed,
                "committed": None if inference.previous is None else inference.previous.committed,
                "image_stamps_ns": {name: list(stamps) for name, stamps in inference.image_stamps_ns.items()},
            }
        )
        for name, frames in inference.images.items():
            for stamp_ns, frame in zip(inference.image_stamps_ns[name], frames, strict=True):
                _write_image(_image_file(folder, name, stamp_ns), frame)
    np.savez(folder / "inferences.npz", allow_pickle=False, **arrays)
    _write_json(folder / "observations.json", {**facts, "inferences": entries})


def _write_json(file: Path, document: dict[str, Any]) -> None:
    file.write_text(json.dumps(_json_value(document), indent=1, allow_nan=False))
    sync_file(file)


def _json_value(value: Any) -> Any:
    """The value in JSON's types. An incident must not be lost because of one figure in it."""
    if isinstance(value, Mapping):
        return {str(key): _json_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return _json_value(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def _inference(folder: Path, entry: dict[str, Any], i: int, arrays: Any) -> Inference:
    stamps = {name: tuple(values) for name, values in entry["image_stamps_ns"].items()}
    return Inference(
        began_ns=entry["began_ns"],
        stamp_ns=entry["stamp_ns"],
        task=entry["task"],
        seed=entry["seed"],
        images={
            name: tuple(_read_image(_image_file(folder, name, stamp)) for stamp in values)
            for name, values in stamps.items()
        },
        image_stamps_ns=stamps,
        state=arrays[f"state_{i}"],
        previous=None
        if entry["committed"] is None
        else Continuation(arrays[f"previous_{i}"], entry["committed"]),
        actions=arrays[f"actions_{i}"] if f"actions_{i}" in arrays.files else None,
    )


def _image_file(folder: Path, camera: str, stamp_ns: int) -> Path:
    return folder / "images" / camera / f"{stamp_ns}.png"


def _write_image(file: Path, frame: NDArray[np.uint8]) -> None:
    if file.exists():  # an earlier inference used the same image
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(file), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), _FAST_PNG):
        raise OSError(f"{file} could not be written")


def _read_image(file: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f"{file} is missing or damaged")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)  # (H, W, 3)
