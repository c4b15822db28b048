"""Patches and positions against Paddle's own convolution and what an image's size implies."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from hfpaddle.layers.vision import PatchConv, ViTEmbeddings

pytestmark = pytest.mark.unit


def embeddings(image=(12, 12), patch=(4, 4)):
    layer = ViTEmbeddings(3, 8, image, patch, 0.0)
    with paddle.no_grad():
        layer.position_embeddings.set_value(paddle.randn(layer.position_embeddings.shape))
    return layer


@pytest.mark.parametrize("patch", [(4, 4), (3, 5), (1, 1), (7, 2)])
def test_patches_are_a_convolution(patch):
    """Pixels beyond the last whole patch do not count."""
    conv = PatchConv(3, 8, patch)
    with paddle.no_grad():
        conv.bias.set_value(paddle.randn([8]))
    pixels = paddle.randn([2, 3, 13, 11])
    got = conv(pixels).transpose([0, 3, 1, 2])
    want = F.conv2d(pixels, conv.weight, conv.bias, stride=list(patch))
    np.testing.assert_allclose(got.numpy(), want.numpy(), atol=1e-5)


def test_positions_of_the_models_own_size():
    layer = embeddings()
    own = layer.positions(12, 12, paddle.float32).numpy()
    np.testing.assert_array_equal(own, layer.position_embeddings.numpy())


@pytest.mark.parametrize("size", [(24, 24), (8, 20), (4, 4)])
def test_positions_of_another_size(size):
    """The class token's stays; a constant table stays constant."""
    layer = embeddings()
    table = layer.positions(*size, paddle.float32)
    assert table.shape == [1, 1 + size[0] // 4 * (size[1] // 4), 8]
    np.testing.assert_array_equal(table[:, 0].numpy(), layer.position_embeddings[:, 0].numpy())
    with paddle.no_grad():
        layer.position_embeddings.set_value(paddle.full([1, 10, 8], 0.25))
    np.testing.assert_allclose(layer.positions(*size, paddle.float32).numpy(), 0.25, atol=1e-6)


def test_masked_patches_are_the_mask_token():
    layer = embeddings()
    layer.mask_token = paddle.create_parameter([1, 1, 8], "float32")
    mask = paddle.to_tensor([[True] + [False] * 8])
    x = layer(paddle.randn([1, 3, 12, 12]), mask) - layer.position_embeddings
    np.testing.assert_allclose(x[0, 1].numpy(), layer.mask_token[0, 0].numpy(), atol=1e-6)
    assert float((x[0, 2] - layer.mask_token[0, 0]).abs().max()) > 1e-3


def test_another_size_needs_interpolation():
    layer, pixels = embeddings(), paddle.zeros([1, 3, 16, 12])
    with pytest.raises(ValueError, match="interpolate_pos_encoding=True"):
        layer(pixels)
    assert layer(pixels, interpolate_pos_encoding=True).shape == [1, 13, 8]
