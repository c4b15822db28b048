"""Attention against the reference: values and gradients, at every level that this processor has."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle import ops
from hfpaddle.core.op import discover
from hfpaddle.layers.masks import AttentionMask
from hfpaddle.layers.packing import Packing

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.attention", reason="the kernels were not built")
library = sys.modules["hfpaddle.kernels.cpu.library"]

pytestmark = pytest.mark.unit

RTOL = cpu.attention_cpu.__globals__["ops"].attention.impls[0].rtol["float32"]
GRADIENTS = 1e-5  # of the largest one


def leaf(random, *shape, layout="rows"):
    """Return ``[B, N, S, D]`` that lies in memory as ``layout`` says."""
    B, N, S, D = shape
    if layout == "heads":
        data = random.standard_normal(shape)
        return paddle.to_tensor(data, "float32", stop_gradient=False)
    data = paddle.to_tensor(random.standard_normal([B, S, N, D]), "float32", stop_gradient=False)
    if layout == "rows":  # a view, as after a projection
        return data.transpose([0, 2, 1, 3])
    wide = paddle.to_tensor(random.standard_normal([B, S, N + 1, 2 * D]), "float32")
    wide.stop_gradient = False
    if layout == "slices":
        return wide[:, :, 1:, :D].transpose([0, 2, 1, 3])
    assert layout == "steps"  # every other element
    return wide[:, :, 1:, ::2].transpose([0, 2, 1, 3])


def inputs(random, B, N, K, S, T, D, E, layout="rows"):
    sizes = ((N, S, D), (K, T, D), (K, T, E))
    return [leaf(random, B, heads, rows, size, layout=layout) for heads, rows, size in sizes]


def compare(run, expected, tensors, random, tolerance=GRADIENTS):
    """Compare results and the gradients for a random direction; return the result."""
    want, got = expected(*tensors), run(*tensors)
    scale = float(want.abs().max()) + 1e-30
    np.testing.assert_allclose(got, want, rtol=RTOL, atol=RTOL * scale)
    direction = paddle.to_tensor(random.standard_normal(want.shape), "float32")
    pairs = zip(
        paddle.grad((got * direction).sum(), tensors),
        paddle.grad((want * direction).sum(), tensors),
        strict=True,
    )
    for actual, ideal in pairs:
        assert actual.shape == ideal.shape
        np.testing.assert_allclose(actual, ideal, atol=tolerance * (float(ideal.abs().max()) + 1))
    return got


def check(tensors, random, bias=None, mask=None, **rest):
    rest = {"scale": tensors[0].shape[-1] ** -0.5, "mask": mask, "need_weights": False, **rest}
    q, k, _ = tensors
    if q.shape[1] // k.shape[1] * q.shape[2] >= cpu.FEWEST_QUERIES:
        assert ops.attention.choose(*tensors, bias, **rest) is cpu.attention_cpu
    return compare(
        lambda *t: cpu.attention_cpu(*t, bias, **rest)[0],
        lambda *t: ops.attention.reference(*t, bias, blind=True, **rest)[0],
        tensors,
        random,
    )


# B, N, K, S, T, D, E
SIZES = [
    (1, 1, 1, 1, 1, 1, 1),
    (2, 4, 2, 7, 7, 33, 17),
    (1, 6, 2, 1, 70, 64, 64),  # one query: heads share a panel
    (2, 6, 1, 20, 130, 40, 40),  # two heads a panel
    (1, 2, 2, 48, 64, 16, 16),
    (1, 2, 1, 49, 65, 15, 80),
    (2, 3, 3, 200, 131, 8, 96),
    (1, 2, 1, 413, 413, 24, 128),
    (1, 1, 1, 5, 300, 192, 256),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes(size):
    random = np.random.default_rng(0)
    check(inputs(random, *size), random)


@pytest.mark.parametrize("layout", ["heads", "rows", "slices", "steps"])
def test_layouts(layout):
    random = np.random.default_rng(1)
    check(inputs(random, 2, 4, 2, 60, 70, 20, 12, layout), random)


MASKS = {
    "causal": {},
    "later": {"offset": 30},
    "shifted keys": {"offset": 37, "key_offset": 7},
    "before all keys": {"key_offset": 5, "window": 500},
    "window": {"window": 9, "offset": 30},
    "wide window": {"window": 70, "offset": 30},
    "endless window": {"window": 1 << 40, "offset": 30},
    "both sides": {"window": 11, "causal": False},
    "both sides, one query": {"window": 3, "causal": False, "queries": 1, "offset": 50},
    "not causal": {"causal": False},
    "beyond all keys": {"window": 5, "offset": 200},
}


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("padding", [None, "left", "right", "holes", "all"])
@pytest.mark.parametrize("case", MASKS)
def test_described_masks(case, padding, softcap):
    random = np.random.default_rng(2)
    options = {"queries": 100, **MASKS[case]}
    S, T = options.pop("queries"), 130
    if padding is not None:
        end = T + options.get("key_offset", 0)
        seen = np.ones([2, end], bool)
        if padding == "holes":
            seen = random.random([2, end]) < 0.5
        elif padding == "all":
            seen[1] = False
        else:
            seen[1, slice(0, 57) if padding == "left" else slice(60, None)] = False
        options["padding"] = paddle.to_tensor(seen)
    tensors = inputs(random, 2, 4, 2, S, T, 24, 20)
    mask = AttentionMask(S, T, **options)
    got = check(tensors, random, mask=mask, softcap=softcap)
    if padding == "all":
        assert not got[1].numpy().any()


@pytest.mark.parametrize("queries", [1, 5, 60])
@pytest.mark.parametrize("shape", ["BNST", "1NST", "B1ST", "111T", "BN1T", "users", "turned"])
def test_biases(shape, queries):
    random = np.random.default_rng(3)
    B, N, S, T = 2, 4, queries, 75
    sizes = [n if c != "1" else 1 for c, n in zip(shape, (B, N, S, T), strict=False)]
    if shape in ("users", "turned"):
        sizes = [B, N, S, T]
    bias = paddle.to_tensor(random.standard_normal(sizes) * 3, "float32")
    if shape == "turned":
        bias = bias.transpose([0, 1, 3, 2]).contiguous().transpose([0, 1, 3, 2])
    bias = paddle.where(bias > 3.0, paddle.full_like(bias, -np.inf), bias)
    if shape == "users":
        bias[0, 1, 0] = -np.inf  # this query sees nothing
        mask = AttentionMask(S, T, bias=bias)
        got = check(inputs(random, B, N, 2, S, T, 24, 20), random, mask=mask)
        assert not got[0, 0, 1].numpy().any()
    else:
        check(inputs(random, B, N, 2, S, T, 24, 20), random, bias, softcap=2.0)


@pytest.mark.parametrize("shape", [[2, 1, 1, 75], [2, 1, 60, 75]])
def test_lowest_number_hides_unless_all_have_it(shape):
    random = np.random.default_rng(4)
    bias = paddle.to_tensor(random.random(shape) < 0.4).astype("float32") * float(
        np.finfo("f4").min
    )
    bias[1] = float(np.finfo("f4").min)
    check(inputs(random, 2, 4, 1, 60, 75, 24, 20), random, bias)


@pytest.mark.parametrize("queries", [1, 60])
def test_key_bias(queries):
    random = np.random.default_rng(4)
    padding = paddle.to_tensor(random.random([2, 75]) < 0.7)
    mask = AttentionMask(queries, 75, offset=75 - queries, padding=padding)
    mask.key_bias = paddle.to_tensor(random.standard_normal([2, 4, 75]), "float32")
    check(inputs(random, 2, 4, 1, queries, 75, 24, 20), random, mask=mask)


@pytest.mark.parametrize("factor", [1e-20, 30.0, 1e4])
def test_extremes(factor):
    """Against float64; the rounding of a score counts as a whole in the exponent."""
    random = np.random.default_rng(5)
    q, k, v = (t.detach() for t in inputs(random, 1, 2, 2, 50, 60, 16, 16))
    v.stop_gradient = False
    wide = [paddle.to_tensor(t.numpy(), "float64", stop_gradient=t is not v) for t in (q, k, v)]
    scores = np.abs(q.numpy() @ k.numpy().swapaxes(-1, -2)).max() * factor
    rounding = 4 * 2.0**-24 * scores + 1e-6
    rest = {"scale": factor, "need_weights": False}
    want = ops.attention.reference(*wide, **rest)[0]
    got = cpu.attention_cpu(q, k, v, **rest)[0]
    np.testing.assert_allclose(got, want, atol=rounding * float(v.abs().max()))
    (actual,), (ideal,) = paddle.grad(got.sum(), [v]), paddle.grad(want.sum(), [wide[2]])
    np.testing.assert_allclose(actual, ideal, rtol=10 * rounding, atol=10 * rounding)


def test_nan_and_infinity_stay():
    random = np.random.default_rng(6)
    q, k, v = (t.detach() for t in inputs(random, 1, 1, 1, 50, 70, 16, 16))
    q[0, 0, 7] = float("nan")
    v[0, 0, 69, 3] = float("inf")
    got = cpu.attention_cpu(q, k, v, scale=0.25, need_weights=False)[0].numpy()
    assert np.isnan(got[0, 7]).all() and np.isinf(got[0, 8, 0, 3]) and np.isfinite(got[0, 8, 0, 2])


PACKED = {
    "unlike": (1, (3, 1, 7)),
    "alike": (1, (4, 2, 4, 4, 2)),
    "rows": (2, (5, 3, 8)),
    "long": (2, (60, 140, 3, 197)),
}


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("kind", ["causal", "window", "both sides", "alibi", "bias", "all"])
@pytest.mark.parametrize("case", PACKED)
def test_packed(case, kind, softcap):
    random = np.random.default_rng(7)
    B, lengths = PACKED[case]
    S, M = sum(lengths) // B, max(lengths)
    tensors = inputs(random, B, 4, 2, S, S, 24, 20)
    rest = {"scale": 0.3, "softcap": softcap}
    if kind == "bias":
        rest["bias"] = paddle.to_tensor(random.standard_normal([1, 4, M, M]), "float32")
    elif kind != "all":
        window = {"window": 3, "both sides": 2}.get(kind)
        packing = Packing(lengths, B)
        mask = AttentionMask(S, S, causal=kind != "both sides", window=window, packing=packing)
        if kind == "alibi":
            mask.key_bias = paddle.to_tensor(random.standard_normal([1, 4, M]), "float32")
        rest["mask"] = mask
    assert ops.packed_attention.choose(*tensors, lengths, **rest) is cpu.packed_attention_cpu
    compare(
        lambda *t: cpu.packed_attention_cpu(*t, lengths, **rest),
        lambda *t: ops.packed_attention.reference(*t, lengths, **rest),
        tensors,
        random,
    )


def test_samples_do_not_see_each_other():
    random = np.random.default_rng(8)
    q, k, v = (t.detach() for t in inputs(random, 1, 2, 1, 60, 60, 16, 16))
    k[:, :, :20], v[:, :, :20] = float("nan"), float("nan")
    got = cpu.packed_attention_cpu(q, k, v, (20, 40), scale=0.25).numpy()
    assert np.isnan(got[:, :20]).all() and np.isfinite(got[:, 20:]).all()


def test_one_tensor_for_all_and_one_wanted_gradient():
    random = np.random.default_rng(9)
    x = leaf(random, 1, 2, 30, 8)
    rest = {"scale": 0.4, "need_weights": False}
    want = paddle.grad(ops.attention.reference(x, x, x, **rest)[0].square().sum(), [x])[0]
    got = paddle.grad(cpu.attention_cpu(x, x, x, **rest)[0].square().sum(), [x])[0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    q, k, v = x.detach(), leaf(random, 1, 2, 30, 8), x.detach()
    want = paddle.grad(ops.attention.reference(q, k, v, **rest)[0].square().sum(), [k])[0]
    got = paddle.grad(cpu.attention_cpu(q, k, v, **rest)[0].square().sum(), [k])[0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_create_graph_is_refused():
    """So does the reference: Paddle 3.3 has no second derivative of a softmax."""
    tensors = inputs(np.random.default_rng(10), 1, 4, 2, 9, 9, 8, 8)
    out = cpu.attention_cpu(*tensors, scale=0.4, need_weights=False)[0]
    # Paddle gives what a PyLayer raises as the text of its own error.
    with pytest.raises(OSError, match="UnsupportedArgumentError: create_graph=True: attention has"):
        paddle.grad(out.square().sum(), tensors, create_graph=True)


@pytest.mark.parametrize("layout", ["heads", "rows", "slices", "steps"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_recomputation(reentrant, layout):
    from paddle.distributed.fleet.utils import recompute

    random = np.random.default_rng(11)
    tensors = [t.detach() for t in inputs(random, 2, 4, 2, 60, 60, 8, 8, layout)]
    for t in tensors:
        t.stop_gradient = False
    rest = {"scale": 0.4, "need_weights": False, "mask": AttentionMask(60, 60)}

    def f(*t):
        return cpu.attention_cpu(*t, **rest)[0].square()

    want = paddle.grad(f(*tensors).sum(), tensors)
    recompute(f, *tensors, use_reentrant=reentrant).sum().backward()
    for t, ideal in zip(tensors, want, strict=True):
        np.testing.assert_allclose(t.grad, ideal, rtol=1e-6)


def test_memory_is_linear():
    """Half a terabyte of scores; the result of uniform keys is the mean of the values."""
    x = paddle.zeros([1, 1, 60, 1])
    k = paddle.zeros([1, 1, 1 << 20, 1])
    v = paddle.arange(1 << 20).astype("float32").reshape([1, 1, -1, 1])
    out = cpu.attention_cpu(x, k, v, scale=1.0, need_weights=False)[0]
    np.testing.assert_allclose(out, ((1 << 20) - 1) / 2, rtol=1e-5)


def test_what_it_leaves_to_the_reference():
    random = np.random.default_rng(12)
    tensors = q, k, v = inputs(random, 1, 2, 1, 6, 6, 8, 8)
    rest = {"scale": 1.0, "need_weights": False}
    reference = ops.attention.reference
    assert ops.attention.choose(*tensors, **rest) is cpu.attention_cpu
    assert ops.attention.choose(q[:, :, :3], k, v, **rest) is reference  # too few queries
    assert ops.attention.choose(*tensors, scale=1.0) is reference  # weights are wanted
    assert ops.attention.choose(*tensors, dropout=0.1, **rest) is reference
    bias = paddle.zeros([1, 1, 6, 6])
    assert ops.attention.choose(*tensors, bias, **rest) is cpu.attention_cpu
    assert ops.attention.choose(*tensors, bias[..., :1], **rest) is reference
    assert ops.attention.choose(*tensors, bias[0], **rest) is reference
    bias.stop_gradient = False
    assert ops.attention.choose(*tensors, bias, **rest) is reference  # its gradient is wanted
    with paddle.no_grad():
        assert ops.attention.choose(*tensors, bias, **rest) is cpu.attention_cpu
    assert ops.attention.choose(q, k.astype("float64"), v, **rest) is reference
    assert ops.attention.choose(q, k[:, :, :0], v[:, :, :0], **rest) is reference
    for wrong in (AttentionMask(6, 7), AttentionMask(6, 6, window=0)):
        assert ops.attention.choose(*tensors, mask=wrong, **rest) is reference
    packed = ops.packed_attention
    assert packed.choose(*tensors, (4, 2), scale=1.0) is cpu.packed_attention_cpu
    assert packed.choose(*tensors, (4, 1), scale=1.0) is packed.reference
    assert packed.choose(*tensors, (4, 2), bias[..., :3], scale=1.0) is packed.reference
    with hfpaddle.kernels.use(attention="reference"):
        assert ops.attention.choose(*tensors, **rest) is reference


def levels():
    best = library._load(library.FOLDER / "hfpaddle_cpu_generic.so").hf_level()
    return library.LEVELS[: best + 1]


@pytest.mark.parametrize("level", levels()[:-1])
def test_lower_levels_pass_the_same_tests(level):
    if os.environ.get("HFPADDLE_CPU_LEVEL"):
        pytest.skip("runs once")
    chosen = "sizes or layouts or biases or (described and None) or packed or extremes or nan"
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-q", __file__, "-k", chosen]
    variables = {**os.environ, "HFPADDLE_CPU_LEVEL": level}
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-2000:]
