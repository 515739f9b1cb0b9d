# SPDX-License-Identifier: Apache-2.0
"""LeRobot's classes for the parity tests, and a summary of the differences that they measured."""

import logging
from types import SimpleNamespace

import pytest

PARITY = "parity: "  # prefix of the names of recorded differences


@pytest.fixture(scope="session")
def lerobot() -> SimpleNamespace:
    """LeRobot's classes; importing them takes seconds and changes logging, which is restored."""
    pytest.importorskip("lerobot", reason="lerobot is not installed: parity cannot be tested")
    handlers, level = logging.root.handlers[:], logging.root.level
    from lerobot import configs, processor
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.policies.multi_task_dit.modeling_multi_task_dit import MultiTaskDiTPolicy
    from lerobot.processor.converters import create_transition

    logging.root.handlers[:], logging.root.level = handlers, level
    return SimpleNamespace(
        Config=configs.PreTrainedConfig,
        Policy=MultiTaskDiTPolicy,
        processors=make_pre_post_processors,
        Normalizer=processor.NormalizerProcessorStep,
        Unnormalizer=processor.UnnormalizerProcessorStep,
        Feature=configs.PolicyFeature,
        FeatureType=configs.FeatureType,
        Mode=configs.NormalizationMode,
        transition=create_transition,
    )


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as HF_HUB_OFFLINE=1, which huggingface_hub reads only at import."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the largest difference from LeRobot over all tested configurations."""
    measured: dict[str, list[tuple[float, str]]] = {}
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name.startswith(PARITY):
                measured.setdefault(name, []).append((value, report.nodeid.partition("[")[2].rstrip("]")))
    if measured:
        terminalreporter.section("differences from LeRobot")
    for name, values in measured.items():
        value, where = max(values)
        terminalreporter.write_line(
            f"{name.removeprefix(PARITY):<32} worst of {len(values):3}: {value:8.1e}  ({where})"
        )
