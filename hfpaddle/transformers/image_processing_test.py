"""Image processors without torch: names, tensors, and the way into a model."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import hfpaddle.transformers as hf

pytestmark = pytest.mark.unit
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def processor():
    return hf.ViTImageProcessor(size={"height": 12, "width": 12})


def test_pixels_are_resized_and_normalised(processor):
    pixels = processor(IMAGE, return_tensors="pt").pixel_values
    assert isinstance(pixels, paddle.Tensor) and pixels.shape == [1, 3, 12, 12]
    plain = processor(IMAGE, return_tensors="pd", do_normalize=False, do_rescale=False).pixel_values
    want = (plain.numpy() / 255 - 0.5) / 0.5
    np.testing.assert_allclose(pixels.numpy(), want, atol=1e-6)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_from_a_folder_into_a_model(processor, dtype, tmp_path):
    config = hf.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=12,
        patch_size=4,
        num_labels=3,
    )
    hf.ViTForImageClassification(config).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model = hf.AutoModelForImageClassification.from_pretrained(tmp_path, dtype=dtype)
    loaded = hf.AutoImageProcessor.from_pretrained(tmp_path)
    assert type(loaded) is type(processor)
    features = loaded([IMAGE, IMAGE[::-1]], return_tensors="pt").to(model.device)
    out = model(**features, labels=paddle.to_tensor([0, 2]))
    assert out.logits.shape == [2, 3] and np.isfinite(float(out.loss))
    whole = hf.AutoModelForImageClassification.from_pretrained(tmp_path)(**features)
    np.testing.assert_allclose(
        out.logits.astype("float32").numpy(), whole.logits.numpy(), atol=0.01 if dtype else 0
    )


def test_features_that_are_no_arrays_stay():
    features = hf.BatchFeature({"a": [[1.0, 2.0]], "names": ["x"]}, "pt")
    assert features.a.tolist() == [[1.0, 2.0]] and features["names"] == ["x"]
    assert features.to(paddle.float64).a.dtype == paddle.float64
