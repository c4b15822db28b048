"""``hfpaddle.torch.nn.functional`` against torch's: values and gradients of each function."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
import torch
import torch.nn.functional as theirs

import hfpaddle.torch.nn.functional as ours
from hfpaddle.torch import _random

RNG = np.random.default_rng(0)


def f(*shape, low=-2.0, high=2.0):
    """float32 samples."""
    return RNG.uniform(low, high, shape).astype("float32")


def i(high, *shape):
    """int64 samples."""
    return RNG.integers(0, high, shape)


X = f(3, 5)
IMAGE = f(2, 4, 6, 5)
LABELS = np.array([[1, -100, 0], [2, 2, -100]])
PROBS = (lambda p: p / p.sum(1, keepdims=True))(f(3, 5, low=0.1, high=1.0))
Q, K, V = f(2, 4, 3, 8), f(2, 2, 5, 8), f(2, 2, 5, 6)
Q1, K1, V1 = f(2, 4, 3, 8), f(2, 4, 5, 8), f(2, 4, 5, 6)
MASK = RNG.random((2, 1, 3, 5)) > 0.4
MASK[0, 0, 1] = False  # a row that sees nothing
SIGNS = np.array([1, -1, 1])

CASES = [
    *((name, (X,), {}) for name in (
        "relu", "relu6", "silu", "mish", "gelu", "sigmoid", "tanh", "elu", "selu", "celu",
        "leaky_relu", "hardtanh", "hardswish", "hardsigmoid", "hardshrink", "softshrink",
        "tanhshrink", "softplus", "softsign", "logsigmoid", "rrelu",
    )),
    ("gelu", (X,), {"approximate": "tanh"}),
    ("elu", (X,), {"alpha": 0.3}),
    ("celu", (X,), {"alpha": 0.3}),
    ("leaky_relu", (X, 0.2), {}),
    ("hardtanh", (X, -0.5, 0.7), {}),
    ("softplus", (X,), {"beta": 2.0, "threshold": 1.0}),
    ("threshold", (X, 0.1, -7.0), {}),
    ("prelu", (IMAGE, f(4)), {}),
    ("prelu", (X, f(1)), {}),
    ("glu", (IMAGE,), {"dim": 1}),
    ("softmax", (X,), {"dim": 0}),
    ("softmin", (X,), {"dim": -1}),
    ("log_softmax", (X,), {"dim": -1}),
    ("normalize", (X,), {}),
    ("normalize", (X,), {"p": 1, "dim": 0}),
    ("linear", (X, f(4, 5), f(4)), {}),
    ("linear", (f(2, 3, 5), f(4, 5)), {}),
    ("bilinear", (f(3, 4), f(3, 5), f(2, 4, 5), f(2)), {}),
    ("embedding", (i(6, 2, 3), f(6, 4)), {}),
    ("embedding", (i(3, 2, 3), f(3, 4)), {"padding_idx": -2}),
    ("one_hot", (i(4, 2, 3),), {"num_classes": 6}),
    ("one_hot", (i(4, 2, 3),), {}),
    ("layer_norm", (X, (5,), f(5), f(5)), {}),
    ("layer_norm", (IMAGE, (6, 5)), {"eps": 1e-3}),
    ("rms_norm", (X, (5,), f(5)), {}),
    ("rms_norm", (IMAGE, (6, 5)), {"eps": 1e-3}),
    ("group_norm", (IMAGE, 2, f(4), f(4)), {}),
    ("group_norm", (f(2, 6), 3), {}),
    ("instance_norm", (IMAGE,), {}),
    ("local_response_norm", (IMAGE, 3), {}),
    ("batch_norm", (IMAGE,), {"running_mean": f(4), "running_var": f(4, low=0.5),
                             "weight": f(4), "bias": f(4)}),
    ("batch_norm", (X, None, None, f(5), f(5)), {"training": True}),
    ("conv1d", (f(2, 4, 9), f(6, 2, 3), f(6)), {"groups": 2, "padding": 1, "stride": 2}),
    ("conv1d", (f(4, 9), f(6, 4, 3)), {"padding": "valid"}),
    ("conv2d", (IMAGE, f(3, 4, 3, 2), f(3)), {"padding": (1, 0), "dilation": (2, 1)}),
    ("conv2d", (IMAGE, f(3, 4, 2, 3)), {"padding": "same"}),
    ("conv3d", (f(1, 2, 4, 4, 4), f(3, 2, 2, 2, 2)), {"stride": 2}),
    ("conv_transpose1d", (f(2, 4, 5), f(4, 3, 3), f(3)), {"stride": 2, "output_padding": 1}),
    ("conv_transpose2d", (IMAGE, f(4, 3, 3, 3), f(6)), {"groups": 2, "stride": 2, "padding": 1}),
    ("max_pool1d", (f(2, 4, 9), 3), {"stride": 2}),
    ("max_pool2d", (IMAGE, 2), {}),
    ("max_pool2d", (IMAGE, 3), {"stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool1d", (f(2, 4, 9), 3), {"padding": 1}),
    ("avg_pool2d", (IMAGE, 3), {"stride": 2, "padding": 1}),
    ("avg_pool2d", (IMAGE, 3), {"padding": 1, "count_include_pad": False}),
    ("adaptive_avg_pool1d", (f(2, 4, 9), 2), {}),
    ("adaptive_avg_pool2d", (IMAGE, (3, None)), {}),
    ("adaptive_max_pool2d", (IMAGE, 2), {}),
    ("unfold", (IMAGE, (2, 3)), {"padding": 1, "stride": 2}),
    ("fold", (f(2, 8, 12), (5, 4)), {"kernel_size": 2}),
    ("pad", (IMAGE, (1, 2, -1, 3)), {"value": 0.5}),
    ("pad", (IMAGE, (1, 2, 0, 1, 1, 0)), {}),
    ("pad", (IMAGE, (1, 2, 3, 1)), {"mode": "reflect"}),
    ("pad", (IMAGE, (1, 2, 3, 1)), {"mode": "replicate"}),
    ("pad", (IMAGE, (1, 2, 3, 1)), {"mode": "circular"}),
    ("pad", (i(5, 2, 3), (0, 2)), {"value": -100}),
    ("pixel_shuffle", (IMAGE, 2), {}),
    ("pixel_unshuffle", (f(2, 3, 4, 6), 2), {}),
    ("channel_shuffle", (IMAGE, 2), {}),
    ("grid_sample", (IMAGE, f(2, 3, 3, 2, low=-1.2, high=1.2)), {"align_corners": False}),
    ("grid_sample", (IMAGE, f(2, 3, 3, 2)), {"padding_mode": "border", "align_corners": True}),
    ("affine_grid", (f(2, 2, 3), (2, 1, 4, 5)), {"align_corners": False}),
    ("cosine_similarity", (X, f(3, 5)), {}),
    ("pairwise_distance", (X, f(3, 5)), {}),
    ("cross_entropy", (X, i(5, 3)), {}),
    ("cross_entropy", (f(5), np.array(2)), {}),
    ("cross_entropy", (f(2, 4, 3), LABELS), {}),
    ("cross_entropy", (f(2, 4, 3), LABELS), {"weight": f(4, low=0.1), "reduction": "sum"}),
    ("cross_entropy", (f(2, 4, 3), LABELS), {"weight": f(4, low=0.1), "label_smoothing": 0.2}),
    ("cross_entropy", (f(2, 4, 3), LABELS), {"label_smoothing": 0.2}),
    ("cross_entropy", (f(2, 4, 3), LABELS), {"reduction": "none"}),
    ("cross_entropy", (X, PROBS), {"label_smoothing": 0.1, "weight": f(5, low=0.1)}),
    ("cross_entropy", (X, np.array([0, 1, 0])), {"ignore_index": 0}),
    ("nll_loss", (X, i(5, 3)), {"weight": f(5, low=0.1)}),
    ("nll_loss", (f(2, 4, 3), LABELS), {}),
    ("mse_loss", (X, f(3, 5)), {}),
    ("mse_loss", (X, f(3, 5)), {"reduction": "sum"}),
    ("l1_loss", (X, f(3, 5)), {"reduction": "none"}),
    ("smooth_l1_loss", (X, f(3, 5)), {"beta": 0.7}),
    ("huber_loss", (X, f(3, 5)), {"delta": 0.7}),
    ("binary_cross_entropy", (f(3, 5, low=0.01, high=0.99), PROBS), {}),
    ("binary_cross_entropy", (np.float32([0.0, 1.0]),), {"target": np.float32([1.0, 1.0])}),
    ("binary_cross_entropy_with_logits", (X, PROBS), {"pos_weight": f(5, low=0.1)}),
    ("binary_cross_entropy_with_logits", (X, PROBS), {"weight": f(5, low=0.1)}),
    ("kl_div", (X, PROBS), {"reduction": "batchmean"}),
    ("kl_div", (X,), {"target": np.float32([[0, 1, 0, 0, 0]] * 3), "reduction": "sum"}),
    ("kl_div", (X, f(3, 5)), {"log_target": True, "reduction": "mean"}),
    ("poisson_nll_loss", (X, f(3, 5, low=0, high=4)), {"full": True}),
    ("gaussian_nll_loss", (X, f(3, 5), f(3, 5, low=0.1)), {"full": True}),
    ("cosine_embedding_loss", (X, f(3, 5), SIGNS), {"margin": 0.1}),
    ("margin_ranking_loss", (f(3), f(3), SIGNS), {"margin": 0.1}),
    ("hinge_embedding_loss", (f(3), SIGNS), {}),
    ("triplet_margin_loss", (X, f(3, 5), f(3, 5)), {"swap": True}),
    ("scaled_dot_product_attention", (Q1, K1, V1), {}),
    ("scaled_dot_product_attention", (Q1, K1, V1), {"is_causal": True, "scale": 0.3}),
    ("scaled_dot_product_attention", (Q1, K1, V1), {"attn_mask": MASK}),
    ("scaled_dot_product_attention", (Q1, K1, V1), {"attn_mask": f(4, 3, 5)}),
    ("scaled_dot_product_attention", (Q, K, V), {"enable_gqa": True}),
    ("scaled_dot_product_attention", (f(2, 4, 9, 8), f(2, 2, 12, 8), f(2, 2, 12, 5)),
     {"enable_gqa": True, "is_causal": True}),
    ("scaled_dot_product_attention", (f(2, 4, 9, 8), f(2, 4, 12, 8), f(2, 4, 12, 5)),
     {"attn_mask": f(9, 12) > 0.5}),
    ("scaled_dot_product_attention", (f(2, 4, 9, 8), f(2, 4, 12, 8), f(2, 4, 12, 5)),
     {"attn_mask": f(4, 1, 12), "scale": 0.2}),
    *(("interpolate", (IMAGE,), {"size": (9, 3), "mode": mode}) for mode in (
        "nearest", "nearest-exact", "bilinear", "bicubic", "area")),
    *(("interpolate", (IMAGE,), {"scale_factor": 1.7, "mode": mode}) for mode in (
        "nearest", "nearest-exact", "bilinear", "bicubic", "area")),
    ("interpolate", (IMAGE,), {"size": (9, 3), "mode": "bilinear", "align_corners": True}),
    ("interpolate", (IMAGE,), {"size": (9, 3), "mode": "bicubic", "align_corners": True}),
    ("interpolate", (IMAGE,), {"size": (3, 3), "mode": "bicubic", "antialias": True}),
    ("interpolate", (IMAGE,), {"size": (4, 9), "mode": "bilinear", "antialias": True}),
    ("interpolate", (IMAGE,), {"scale_factor": (1.7, 0.6), "mode": "bilinear",
                               "recompute_scale_factor": True}),
    ("interpolate", (f(2, 3, 7),), {"scale_factor": 2.0, "mode": "linear"}),
    ("interpolate", (f(1, 2, 3, 4, 5),), {"size": (4, 4, 4), "mode": "trilinear"}),
]  # fmt: skip


def leaves(values, make):
    return [make(v) if isinstance(v, np.ndarray) else v for v in values]


def theirs_tensor(array):
    return torch.tensor(array, requires_grad=array.dtype == np.float32)


def ours_tensor(array):
    return paddle.to_tensor(array, stop_gradient=array.dtype != np.float32)


def evaluate(library, make, name, args, kwargs):
    """The result, and the gradients of its weighted sum."""
    args = leaves(args, make)
    plain = torch.tensor if library is theirs else paddle.to_tensor
    kwargs = dict(zip(kwargs, leaves(kwargs.values(), plain), strict=True))
    out = getattr(library, name)(*args, **kwargs)
    grads = []
    floating = [a for a in args if not isinstance(a, (int, float, tuple)) and a is not None]
    floating = [a for a in floating if "float32" in str(a.dtype).lower()]
    if floating and "float32" in str(out.dtype).lower():
        weights = np.linspace(0.5, 1.5, math.prod(out.shape))
        weights = make(weights.astype("float32").reshape(tuple(out.shape)))
        (out * weights).sum().backward()
        grads = [None if a.grad is None else a.grad.numpy() for a in floating]
    return out.detach(), grads


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=[c[0] for c in CASES])
def test_values_and_gradients(name, args, kwargs):
    want, want_grads = evaluate(theirs, theirs_tensor, name, args, kwargs)
    got, got_grads = evaluate(ours, ours_tensor, name, args, kwargs)
    assert list(got.shape) == list(want.shape)
    assert got.numpy().dtype == want.numpy().dtype
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=2e-5, atol=2e-6)
    for ours_grad, theirs_grad in zip(got_grads, want_grads, strict=True):
        assert (ours_grad is None) == (theirs_grad is None)
        np.testing.assert_allclose(ours_grad, theirs_grad, rtol=5e-5, atol=5e-6)


def test_every_case_group_is_public():
    assert {name for name, _, _ in CASES} <= set(ours.__all__)
    missing = [name for name in ours.__all__ if not hasattr(theirs, name)]
    assert not missing


@pytest.mark.parametrize("top", [50.0, 100.0, 1e4])
def test_no_logit_is_too_far_away(top):
    """Paddle's own kernels cut at 64 below the largest logit."""
    x = np.float32([[top, 0, 1], [0, -top, float("-inf")]])
    for name, rest in (("softmax", (-1,)), ("log_softmax", (-1,)), ("cross_entropy", None)):
        labels = np.array([1, 1])
        want = getattr(theirs, name)(torch.tensor(x), *(rest or (torch.tensor(labels),)))
        got = getattr(ours, name)(paddle.to_tensor(x), *(rest or (paddle.to_tensor(labels),)))
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=2e-6)


def test_cross_entropy_over_nothing_is_nan():
    assert np.isnan(float(ours.cross_entropy(paddle.ones([1, 2]), paddle.to_tensor([-100]))))


def test_cross_entropy_refuses_labels_out_of_range():
    with pytest.raises(IndexError, match="out of bounds"):
        ours.cross_entropy(paddle.ones([1, 2]), paddle.to_tensor([2]))


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d"])
@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_dropout_draws_the_same_mask(name, p):
    x = f(3, 4, 6)
    torch.manual_seed(4)
    _random.manual_seed(4)
    want = getattr(theirs, name)(torch.tensor(x), p)
    got = getattr(ours, name)(paddle.to_tensor(x), p)
    np.testing.assert_array_equal(got.numpy(), want.numpy())


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax(hard):
    torch.manual_seed(4)
    _random.manual_seed(4)
    want = theirs.gumbel_softmax(torch.tensor(X), tau=0.7, hard=hard)
    got = ours.gumbel_softmax(paddle.to_tensor(X), tau=0.7, hard=hard)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "silu", "elu", "hardswish"])
def test_inplace_changes_the_tensor_and_its_gradient(name):
    def run(library, leaf, clone):
        x = leaf(X)
        hidden = clone(x)
        out = getattr(library, name)(hidden, inplace=True)
        assert out is hidden
        (out * out).sum().backward()
        return hidden.detach().numpy(), x.grad.numpy()

    want = run(theirs, theirs_tensor, lambda x: x.clone())
    got = run(ours, ours_tensor, lambda x: x.clone())
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid"])
def test_half_types_on_the_cpu(name):
    want = getattr(theirs, name)(torch.tensor(X).bfloat16())
    got = getattr(ours, name)(paddle.to_tensor(X).astype("bfloat16"))
    assert got.dtype == paddle.bfloat16
    np.testing.assert_allclose(
        got.astype("float32").numpy(), want.float().numpy(), rtol=8e-3, atol=1e-3
    )


def test_unknown_name_tells_the_nearest():
    with pytest.raises(AttributeError, match="gelu"):
        _ = ours.gelu_
