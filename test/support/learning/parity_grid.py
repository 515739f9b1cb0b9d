# SPDX-License-Identifier: Apache-2.0
"""The configurations in which our policy is compared with LeRobot's."""

import functools
from collections.abc import Mapping
from typing import Any

from covering import covering

from dit_policy_ros.policy.config import NormalizationMode

Options = dict[str, Any]
SMALL: Options = {"num_train_timesteps": 8, "num_integration_steps": 8}
NONE = "-"  # level of a factor that does not apply to the objective


def scaling(images: NormalizationMode, vectors: NormalizationMode) -> Options:
    return {"normalization_mapping": {"VISUAL": images, "STATE": vectors, "ACTION": vectors}}


def flow(method: str) -> Options:
    return {"objective": "flow_matching", "integration_method": method}


FACTORS: dict[str, dict[str, Options]] = {
    "sampler": {
        "ddpm": {"noise_scheduler_type": "DDPM"},
        "ddim": {"noise_scheduler_type": "DDIM"},
        "euler": flow("euler"),
        "rk4": flow("rk4"),
    },
    "predicts": {
        "epsilon": {"prediction_type": "epsilon"},
        "sample": {"prediction_type": "sample"},
        NONE: {},
    },
    "betas": {
        **{name: {"beta_schedule": name} for name in ("linear", "sigmoid", "laplace")},
        "cosine": {"beta_schedule": "squaredcos_cap_v2"},
        "scaled": {"beta_schedule": "scaled_linear", "beta_start": 0.001, "beta_end": 0.05},
        NONE: {},
    },
    "clips": {
        "clip1": {},
        "clip0.7": {"clip_sample_range": 0.7},
        "unclipped": {"clip_sample": False},
        NONE: {},
    },
    "steps": {
        "8/8": {},
        "3/8": {"num_inference_steps": 3, "num_integration_steps": 3},
    },
    "times": {
        "uniform": {"timestep_sampling_strategy": "uniform", "sigma_min": 0.01},
        "beta": {
            "timestep_sampling_s": 0.9,
            "timestep_sampling_alpha": 2.0,
            "timestep_sampling_beta": 0.5,
            "sigma_min": 0.1,
        },
        NONE: {},
    },
    "positions": {
        "rope": {},
        "absolute": {"use_rope": False, "use_positional_encoding": True},
        "rope+absolute": {"rope_base": 100.0, "use_positional_encoding": True},
        "no-positions": {"use_rope": False},
    },
    "encoders": {"shared": {}, "separate": {"use_separate_rgb_encoder_per_camera": True}},
    "cameras": {f"{n}cam": {"cameras": n} for n in (1, 2, 3)},
    "history": {f"{n}obs": {"n_obs_steps": n} for n in (1, 2, 3)},
    "images": {
        "crop": {"image_resize_shape": None, "image_crop_shape": (24, 24)},
        "resize+crop": {"image_resize_shape": (27, 33), "image_crop_shape": (24, 24)},
        "fixed-crop": {
            "image_resize_shape": (25, 24),
            "image_crop_shape": (24, 24),
            "image_crop_is_random": False,
        },
        "no-crop": {"image_crop_shape": (64, 64)},
    },
    "scaling": {
        "min-max": scaling(NormalizationMode.MEAN_STD, NormalizationMode.MIN_MAX),
        "mean-std": scaling(NormalizationMode.MIN_MAX, NormalizationMode.MEAN_STD),
        "identity": scaling(NormalizationMode.IDENTITY, NormalizationMode.IDENTITY),
        "quantiles": scaling(NormalizationMode.QUANTILE10, NormalizationMode.QUANTILES),
        "quantile10": scaling(NormalizationMode.QUANTILES, NormalizationMode.QUANTILE10),
    },
    "loss": {"whole": {}, "masked": {"do_mask_loss_for_padding": True}},
    "tokens": {
        "right": {},
        "left": {"tokenizer_padding": "longest", "tokenizer_padding_side": "left"},
    },
    "width": {
        "2layers": {},
        "3layers": {"num_layers": 3, "hidden_dim": 24, "num_heads": 3, "dropout": 0.0},
    },
}

DIFFUSION = {"predicts", "betas", "clips"}
DDPM_ONLY = {"sigmoid", "laplace"}  # diffusers' DDIM refuses these schedules


def fits(sampler: str, factor: str, level: str) -> bool:
    if factor == "sampler":
        return level == sampler
    if sampler == "ddim" and level in DDPM_ONLY:
        return False
    is_flow = sampler in ("euler", "rk4")
    if factor in DIFFUSION:
        return (level == NONE) == is_flow
    return factor != "times" or (level == NONE) != is_flow


def feasible(row: Mapping[str, str]) -> bool:
    """Whether any sampler is compatible with all levels of a partial row."""
    return any(all(fits(sampler, *pair) for pair in row.items()) for sampler in FACTORS["sampler"])


@functools.cache
def grid(strength: int) -> dict[str, Options]:
    """Configurations that cover every possible combination of ``strength`` levels, by a readable name.

    There are millions of full combinations. Quick tests cover all pairs, slow tests all triples.
    """
    rows = covering({name: list(levels) for name, levels in FACTORS.items()}, strength, feasible)
    result = {}
    for row in rows:
        options = dict(SMALL)
        for name, level in row.items():
            options |= FACTORS[name][level]
        result[" ".join(level for level in row.values() if level != NONE)] = options
    return result
