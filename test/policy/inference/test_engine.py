# SPDX-License-Identifier: Apache-2.0
"""The restructured networks compute what the trained ones do, and nothing stale is ever used."""

import resource
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_policy import TASKS, random_observation, save_tiny, tiny_config
from tiny_variants import DDIM, FLOW, VARIANTS, infer, save, shaken_policy, variant_config, variant_name
from transformers import CLIPVisionConfig

from dit_policy_ros.core.errors import CheckpointError, StreamError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.policy.inference import DiTRuntime, choose_backend
from dit_policy_ros.policy.inference import _packed_linear as packed_linear
from dit_policy_ros.policy.inference._backend import TRACED_UP_TO
from dit_policy_ros.policy.inference._compiled_network import CompiledNetwork
from dit_policy_ros.policy.inference._fast_adaln import FactorisedDenoiser
from dit_policy_ros.policy.inference._fast_clip import FastClip
from dit_policy_ros.policy.inference._packed_linear import PackedLinear
from dit_policy_ros.policy.inference._traced_network import TracedNetwork

TOLERANCE = 1e-5  # robot units; the widest span of the made-up statistics is 1.5


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize("options", VARIANTS, ids=variant_name)
def test_every_variant_equals_the_networks_as_trained(
    tmp_path: Path, options: dict[str, Any], scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_linear, "LEAST_PACKED", 0)  # these networks are too small for it to pay
    folder = save(tmp_path / "checkpoint", **options)
    plain = load_policy(folder, backend="plain", guidance_scale=scale)
    fast = [load_policy(folder, backend=form, guidance_scale=scale) for form in ("eager", "traced")]
    for observation in (0, 1):
        for task in TASKS:
            expected = infer(plain, observation, task)
            for policy in fast:
                np.testing.assert_allclose(infer(policy, observation, task), expected, rtol=0, atol=TOLERANCE)
                repeated = infer(policy, observation, task)  # from the caches now
                np.testing.assert_allclose(repeated, expected, rtol=0, atol=TOLERANCE)
    assert np.abs(infer(plain, 0) - infer(plain, 1)).max() > 100 * TOLERANCE, "the comparison means something"


def test_what_has_no_fast_form_says_so(tmp_path: Path) -> None:
    covered = load_policy(save(tmp_path / "covered"))
    assert covered.description.endswith("; traced float32") and covered.engine.denoiser is not None
    other = load_policy(save(tmp_path / "other", conditioning="joint", vision_encoder_family="dinov2"))
    assert other.engine.denoiser is None
    assert other.description.endswith(
        "traced float32; vision encoders of the family 'dinov2' as trained; "
        "the network with the conditioning 'joint' as trained"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "checkpoint", tiny_config(cameras=2, **DDIM))


def test_a_frame_is_encoded_once(folder: Path) -> None:
    policy, plain = load_policy(folder), load_policy(folder, backend="plain")
    (images, state), noise = random_observation(policy.checkpoint.config), np.zeros((8, 4), np.float32)
    policy.predict(images, state, TASKS[0], noise)
    assert policy.engine.frames.encoded == 4
    newer, _ = random_observation(policy.checkpoint.config, 1)
    moved = {name: np.stack((image[1], newer[name][1])) for name, image in images.items()}
    got = policy.predict(moved, state, TASKS[1], noise)
    assert policy.engine.frames.encoded == 6, "the older frames were known"
    expected = plain.predict(moved, state, TASKS[1], noise)
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    still = {name: np.stack((image[1], image[1])) for name, image in newer.items()}
    policy.predict(still, state, TASKS[0], noise)
    assert policy.engine.frames.encoded == 6


def test_frames_can_be_encoded_ahead(folder: Path) -> None:
    policy = load_policy(folder)
    images, state = random_observation(policy.checkpoint.config)
    policy.encode(images)
    assert policy.engine.frames.encoded == 4
    noise = np.zeros((8, 4), np.float32)
    got = policy.predict(images, state, TASKS[0], noise)
    assert policy.engine.frames.encoded == 4
    expected = load_policy(folder, backend="plain").predict(images, state, TASKS[0], noise)
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    with pytest.raises(StreamError, match="expected the checkpoint's cameras"):
        policy.encode({})


@pytest.mark.parametrize("separate", [False, True])
def test_every_number_of_frames_that_may_come_can_be_tried_first(tmp_path: Path, separate: bool) -> None:
    """What is recorded for a number of frames must have been before a robot waits for it."""
    options = DDIM | {"cameras": 3, "use_separate_rgb_encoder_per_camera": separate}
    policy = load_policy(save(tmp_path / "checkpoint", **options), backend="eager")
    seen: list[list[int]] = []
    for network in dict.fromkeys(policy.engine.frames._networks.values()):
        counts: list[int] = []
        seen.append(counts)
        network.register_forward_hook(lambda _, inputs, __, counts=counts: counts.append(len(inputs[0])))
    with torch.inference_mode():
        policy.engine.frames.warm_up()
    assert seen == ([[1, 2]] * 3 if separate else [[1, 2, 3, 4, 5, 6]])
    assert policy.engine.frames.encoded == 0 and not policy.engine.frames._features


def test_one_changed_pixel_makes_another_frame(folder: Path) -> None:
    policy = load_policy(folder)
    images, state = random_observation(policy.checkpoint.config)
    noise = np.zeros((8, 4), np.float32)
    before = policy.predict(images, state, TASKS[0], noise)
    images["cam0"][1, 3, 4, 0] ^= 255  # in place: the array is the same, the picture is not
    after = policy.predict(images, state, TASKS[0], noise)
    assert policy.engine.frames.encoded == 5
    assert not np.array_equal(before, after)


def test_the_same_pixels_of_two_cameras_are_two_frames(folder: Path) -> None:
    """Each camera is normalised with statistics of its own."""
    policy, plain = load_policy(folder), load_policy(folder, backend="plain")
    images, state = random_observation(policy.checkpoint.config)
    images["cam1"] = images["cam0"]
    noise = np.zeros((8, 4), np.float32)
    got, expected = (p.predict(images, state, TASKS[0], noise) for p in (policy, plain))
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    assert policy.engine.frames.encoded == 4


def test_old_frames_are_forgotten(folder: Path) -> None:
    policy = load_policy(folder)
    for seed in range(40):
        infer(policy, seed)
    kept = len(policy.engine.frames._features)
    assert kept == policy.engine.frames._capacity < 40 * 4
    encoded = policy.engine.frames.encoded
    infer(policy, 39)
    assert policy.engine.frames.encoded == encoded
    infer(policy, 0)
    assert policy.engine.frames.encoded == encoded + 4


def reload(policy: DiTRuntime) -> None:
    state = {name: tensor * 1.1 for name, tensor in policy.module.state_dict().items()}
    policy.module.load_state_dict(state)


def step(policy: DiTRuntime) -> None:
    with torch.no_grad():
        policy.module.noise_predictor.time_mlp[1].weight.mul_(1.5)


def replace(policy: DiTRuntime) -> None:
    vision = policy.module.observation_encoder.vision_encoder.model
    vision.embeddings.class_embedding = torch.nn.Parameter(-vision.embeddings.class_embedding)


def retext(policy: DiTRuntime) -> None:
    text = policy.module.observation_encoder.text_encoder.text_encoder
    with torch.no_grad():
        text.embeddings.token_embedding.weight.neg_()


@pytest.mark.parametrize("change", [reload, step, replace, retext])
def test_nothing_of_former_weights_is_used(folder: Path, change: Any) -> None:
    policy, plain = load_policy(folder), load_policy(folder, backend="plain")
    before = infer(policy)
    for each in (policy, plain):
        change(each)
    after, expected = infer(policy), infer(plain)
    np.testing.assert_allclose(after, expected, rtol=0, atol=TOLERANCE)
    assert np.abs(after - before).max() > 10 * TOLERANCE
    denoiser = policy.engine.denoiser
    infer(policy)
    assert policy.engine.denoiser is denoiser, "nothing is made anew without a change"


def test_the_tasks_of_two_threads_do_not_mix(folder: Path) -> None:
    """The instruction may change while an inference is under way: each gets the one it was called with."""
    policy = load_policy(folder)
    images, state = random_observation(policy.checkpoint.config)
    noise = np.ones((8, 4), np.float32)
    expected = {task: policy.predict(images, state, task, noise) for task in TASKS}
    assert np.abs(expected[TASKS[0]] - expected[TASKS[1]]).max() > 1e-4
    wrong: list[str] = []
    together = threading.Barrier(4)

    def work(number: int) -> None:
        together.wait(10.0)
        for i in range(25):
            task = TASKS[(number + i) % 2]
            if not np.array_equal(policy.predict(images, state, task, noise), expected[task]):
                wrong.append(task)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert not any(thread.is_alive() for thread in threads) and wrong == []


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu", "gelu_pytorch_tanh", "silu"])
@pytest.mark.parametrize("patches", [False, True])
def test_the_fast_vision_transformer_equals_clips(activation: str, patches: bool) -> None:
    torch.manual_seed(0)
    trained = VisionEncoder(
        CLIPVisionConfig(
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=3,
            image_size=24,
            patch_size=8,
            hidden_act=activation,
        )
    ).eval()
    images = torch.randn(5, 3, 24, 24)
    with torch.inference_mode():
        for parameter in trained.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        fast = FastClip(trained.model, torch.float32)
        torch.testing.assert_close(fast(images, patches), trained(images, patches), rtol=1e-4, atol=1e-5)


def test_times_are_embedded_once_and_the_step_has_no_conditioning_product() -> None:
    policy = shaken_policy(variant_config(cameras=0))
    with torch.inference_mode():
        denoiser = FactorisedDenoiser(policy.noise_predictor, torch.float32)
        calls: list[int] = []
        policy.noise_predictor.time_mlp.register_forward_hook(lambda *_: calls.append(1))
        for block in policy.noise_predictor.transformer_blocks:
            block.adaLN_modulation.register_forward_hook(lambda *_: calls.append(2))
        observation = torch.randn(1, policy.observation_encoder.output_dim)
        for _ in range(2):
            policy.objective.sample(denoiser.predictor(observation), torch.randn(1, 8, 4))
    assert calls == [1] * policy.config.num_train_timesteps


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("activation", ["none", "gelu", "gelu_tanh", "silu"])
def test_a_packed_product_equals_the_plain_one(packs: bool, activation: Any) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(300, 250), torch.randn(300)
    x, residual = 0.1 * torch.randn(2, 3, 250), torch.randn(2, 3, 300)
    functions = {
        "none": lambda y: y,
        "gelu": torch.nn.GELU(),
        "gelu_tanh": torch.nn.GELU("tanh"),
        "silu": torch.nn.SiLU(),
    }
    layer = PackedLinear(weight, bias, torch.float32, activation, pack=packs)
    assert layer.is_packed == packs
    expected = functions[activation](x @ weight.T + bias)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.plus(x, residual), expected + residual, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"backend": "onnx"},
            "backend: expected one of auto, plain, eager, traced, compiled, cuda_graphs, got 'onnx'",
        ),
        ({"backend": "cuda_graphs"}, "backend 'cuda_graphs' needs a GPU, but the device is 'cpu'"),
        ({"dtype": "int8"}, "dtype: expected one of float32, bfloat16, float16, got 'int8'"),
        ({"dtype": "float16"}, "dtype 'float16' is not available: on a CPU it would be slower"),
        ({"dtype": "bfloat16", "backend": "plain"}, "expected float32 with the backend 'plain'"),
    ],
)
def test_what_cannot_be_had_is_refused_at_load(folder: Path, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(CheckpointError, match=expected):
        load_policy(folder, **options)


def test_bfloat16_is_refused_without_the_hardware(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    with pytest.raises(
        CheckpointError, match="'bfloat16' is not available: this CPU has neither avx512_bf16"
    ):
        load_policy(folder, dtype="bfloat16")


def test_bfloat16_is_near_float32_where_the_hardware_has_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # torch emulates it
    exact, rounded = infer(load_policy(folder)), infer(load_policy(folder, dtype="bfloat16"))
    difference = np.abs(exact - rounded).max()
    assert 0.0 < difference < 0.02 * 1.5


@pytest.mark.slow
def test_a_compiled_step_equals_the_eager_one_and_is_compiled_before_use(tmp_path: Path) -> None:
    options = DDIM | {"num_layers": 1, "horizon": 4, "n_action_steps": 3}
    folder = save_tiny(tmp_path / "checkpoint", tiny_config(cameras=0, **options))
    compiled, plain = load_policy(folder, backend="compiled"), load_policy(folder, backend="plain")
    assert compiled.description.endswith("compiled float32")
    assert isinstance(compiled.engine._step, CompiledNetwork)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    got: list[NDArray] = []
    thread = threading.Thread(target=lambda: got.append(infer(compiled)))
    thread.start()
    thread.join(60.0)
    np.testing.assert_allclose(got[0], infer(plain), rtol=0, atol=TOLERANCE)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs, "nothing is compiled in use"


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"cameras": 2}, {"use_separate_rgb_encoder_per_camera": True}, FLOW])
def test_everything_compiled_equals_the_networks_as_trained(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = save_tiny(tmp_path / "checkpoint", tiny_config(**(DDIM | options)))
    compiled = load_policy(folder, backend="compiled", guidance_scale=2.0)
    plain = load_policy(folder, backend="plain", guidance_scale=2.0)
    assert compiled.description.endswith("compiled float32")
    for observation in (0, 1):
        expected = infer(plain, observation)
        np.testing.assert_allclose(infer(compiled, observation), expected, rtol=0, atol=TOLERANCE)


def test_what_cannot_be_compiled_runs_eagerly_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", broken)
    policy = load_policy(folder, backend="compiled")
    assert "FactorisedDenoiser cannot be compiled here and runs as with 'eager'" in caplog.text
    assert "RuntimeError: no C++ compiler found" in caplog.text and "much more" not in caplog.text
    assert "vision encoders eager, as they could not be compiled; the network eager" in policy.description
    expected = infer(load_policy(folder, backend="plain"))
    np.testing.assert_allclose(infer(policy), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("images", [1, 3])
def test_a_trace_takes_any_number_of_images(tmp_path: Path, images: int) -> None:
    policy = load_policy(save(tmp_path / "checkpoint", conditioning="joint", image_tokens="all"))
    encoder = policy.module.observation_encoder
    trained, (traced,) = encoder.vision_encoder, set(policy.engine.frames._networks.values())
    assert isinstance(traced, TracedNetwork) and trained is not None
    size = encoder.resize_and_crop(torch.zeros(1, 3, 48, 64)).shape[-2:]
    batch = torch.randn(images, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(traced(batch, True), trained(batch, True), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"recorded for \[True\], called with \[False\]"):
        traced(batch, False)


def test_what_cannot_be_traced_runs_eagerly_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("unsupported\nand much more")

    monkeypatch.setattr(torch.jit, "trace", broken)
    policy = load_policy(folder)
    assert "FactorisedDenoiser cannot be traced here and runs as with 'eager'" in caplog.text
    assert "vision encoders eager, as they could not be traced; the network eager" in policy.description
    expected = infer(load_policy(folder, backend="plain"))
    np.testing.assert_allclose(infer(policy), expected, rtol=0, atol=TOLERANCE)


def test_the_form_is_chosen_by_what_is_fastest() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_backend("auto", "float32", cpu, TRACED_UP_TO).name == "traced"
    assert choose_backend("auto", "float32", cpu, TRACED_UP_TO + 1).name == "eager"
    assert choose_backend("auto", "float32", cuda, 1).name == "cuda_graphs"
    assert choose_backend("eager", "float32", cpu, 1).name == "eager"


def test_as_many_steps_as_fit_are_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load_policy(folder)
    measured: list[int] = []

    def warm_up(n: int) -> NDArray[np.float64]:
        measured.append(policy.steps)
        return np.full(n, 0.010 + 0.002 * policy.steps)  # [s]

    monkeypatch.setattr(policy, "warm_up", warm_up)
    budget = policy.fit_steps(max_latency=0.0165, n=5)
    assert (budget.steps, policy.steps) == (3, 3) and budget.latency_p95 == pytest.approx(0.016)
    assert "3 steps" in policy.description and "3 steps" in policy.backend
    assert max(measured) == 4, "never more than were asked for"
    np.testing.assert_allclose(
        infer(policy), infer(load_policy(folder, num_inference_steps=3)), rtol=0, atol=TOLERANCE
    )


@pytest.mark.slow
def test_memory_does_not_grow_over_ten_thousand_calls(tmp_path: Path) -> None:
    """New frames, instructions and noise every time; after the caches are full the resident set stands."""
    options = DDIM | {"num_layers": 1, "num_inference_steps": 2}
    policy = load_policy(save_tiny(tmp_path / "checkpoint", tiny_config(**options)), warm_start=1)
    images, state = random_observation(policy.checkpoint.config)
    rng = np.random.default_rng(0)

    def call(i: int) -> None:
        images["cam0"][:] = rng.integers(0, 256, images["cam0"].shape, dtype=np.uint8)
        previous = Continuation(np.zeros((policy.horizon, policy.action_dim)), committed=1)
        policy.predict(images, state, f"task {i % 200}", previous=previous)

    for i in range(1_000):
        call(i)
    before = resident_bytes()
    for i in range(10_000):
        call(i)
    assert resident_bytes() - before < 4e6


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
