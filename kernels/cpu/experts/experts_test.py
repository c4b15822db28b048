"""Mixtures of experts in every stored format."""

from __future__ import annotations

from functools import partial

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle import ops
from hfpaddle.core.op import discover
from hfpaddle.layers.mlp import MLP, GatedMLP
from hfpaddle.layers.moe import SparseMoe, TopKRouter
from hfpaddle.layers.quantized import QuantizedLinear, quantize
from hfpaddle.ops.quantized import Format

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.experts", reason="the kernels were not built")

pytestmark = pytest.mark.unit

E, K = 5, 3
TOKENS = (1, 2, 3, 8, 9, 70)  # 8 is the last of few; 70 gives an expert more than a tile


@pytest.fixture(autouse=True)
def any_number_of_tokens(request, monkeypatch):
    """The arithmetic is that of any number; the limit has a test of its own."""
    if "limit" not in request.node.name:
        monkeypatch.setattr(cpu, "MOST_TOKENS", 1 << 30)


def mixture(H: int, inner: int, make=GatedMLP, **kwargs) -> SparseMoe:
    paddle.seed(0)
    moe = SparseMoe(TopKRouter(H, E, K), E, partial(make, H, inner, **kwargs)).eval()
    for param in moe.parameters():  # larger than what training starts from
        param.set_value(paddle.randn(param.shape) * 0.3)
    return moe


def call(moe: SparseMoe, tokens: int, H: int, impl: str) -> np.ndarray:
    x = paddle.to_tensor(np.random.default_rng(tokens).standard_normal((tokens, H)), "float32")
    with paddle.no_grad():
        _, weights, index = moe.gate(x)
        assert (
            ops.experts.choose(x, weights, index, moe.experts) is cpu.experts_cpu
        ) or impl != "cpu"
        # Where there is AMX, the reference's own products round for bfloat16 weights.
        exact = {"linear": "reference", "quantized_linear": "reference"}
        with hfpaddle.kernels.use(experts=impl, **exact):
            return ops.experts(x, weights, index, moe.experts).numpy()


def close(got: np.ndarray, expected: np.ndarray, rtol: float) -> None:
    np.testing.assert_allclose(got, expected, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("H", "inner"), [(64, 48), (33, 17), (20, 800)])
@pytest.mark.parametrize("tokens", TOKENS)
def test_floating_weights(dtype, H, inner, tokens):
    moe = mixture(H, inner)
    moe.experts.to(dtype=dtype)
    close(call(moe, tokens, H, "cpu"), call(moe, tokens, H, "reference"), 1e-5)


@pytest.mark.parametrize(
    "act", ["silu", "gelu", "gelu_pytorch_tanh", "relu", "relu2", "quick_gelu"]
)
@pytest.mark.parametrize("tokens", [3, 20])
def test_functions_biases_and_no_gate(act, tokens):
    moe = mixture(24, 40, act=act, bias=True)
    close(call(moe, tokens, 24, "cpu"), call(moe, tokens, 24, "reference"), 1e-5)
    moe = mixture(24, 40, make=MLP, act=act)
    close(call(moe, tokens, 24, "cpu"), call(moe, tokens, 24, "reference"), 1e-5)


@pytest.mark.parametrize(
    ("name", "bits", "group"), [("int8", 8, 128), ("int8", 8, 32), ("int4", 4, 64)]
)
@pytest.mark.parametrize("tokens", [1, 8, 20])
def test_integer_weights(name, bits, group, tokens):
    """Few tokens are rounded to 8 bits, as `quantized_linear` does; many are not."""
    H, inner = 256, 128
    moe = mixture(H, inner)
    for expert in moe.experts:
        for part in expert.names:
            weight = getattr(expert, part).weight
            q, scales, zeros = quantize(weight.numpy(), bits, group, symmetric=bits == 8)
            parts = (None if a is None else paddle.to_tensor(a) for a in (q, scales, zeros))
            setattr(expert, part, QuantizedLinear(Format(name, group), weight.shape[1], *parts))
    rtol = 2e-2 if tokens <= 8 else 1e-5
    close(call(moe, tokens, H, "cpu"), call(moe, tokens, H, "reference"), rtol)


def test_it_sees_changes_and_leaves_the_rest_to_the_reference():
    H = 16
    moe = mixture(H, 32)
    before = call(moe, 4, H, "cpu")
    expert = moe.experts[0]
    expert.up_proj.weight.set_value(expert.up_proj.weight * 2)  # in place
    expert.down_proj.weight = paddle.create_parameter([H, 32], "float32")  # another tensor
    changed = call(moe, 4, H, "cpu")
    assert np.abs(changed - before).max() > 1e-3
    close(changed, call(moe, 4, H, "reference"), 1e-5)
    moe.experts[1] = GatedMLP(H, 32).eval()
    close(call(moe, 4, H, "cpu"), call(moe, 4, H, "reference"), 1e-5)
    x, weights = paddle.randn([2, H]), paddle.ones([2, K])
    index = paddle.to_tensor([[0, 1, 2]] * 2)

    def runs() -> bool:
        return ops.experts.choose(x, weights, index, moe.experts) is cpu.experts_cpu

    with paddle.no_grad():
        assert runs()
        hook = moe.experts[2].up_proj.register_forward_post_hook(lambda *_: None)
        assert not runs()
        hook.remove()
        assert runs()
        moe.experts[1] = GatedMLP(H, 24)  # another size
        assert not runs()
        index = paddle.to_tensor([[0, 2, 3]] * 2)
        assert runs()  # nobody chose it
        moe.experts[3] = paddle.nn.Linear(H, H)  # it cannot know what this computes
        assert not runs()
    assert not runs()  # it has no backward pass


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_limit_of_tokens(dtype):
    """Prompts of float32 experts are scored as in training, to the last bit."""
    moe = mixture(16, 24)
    if dtype == "bfloat16":
        moe = moe.to(dtype=dtype)
    for tokens, runs in ((8, True), (9, dtype == "bfloat16")):
        x, weights = paddle.randn([tokens, 16]), paddle.ones([tokens, 1])
        index = paddle.zeros([tokens, 1], "int64")
        with paddle.no_grad():
            chosen = ops.experts.choose(x, weights, index, moe.experts)
        assert (chosen is cpu.experts_cpu) == runs
