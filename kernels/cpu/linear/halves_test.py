"""Products of float32 rounded to bfloat16: numpy's sums of the rounded numbers, and gradients."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
import hfpaddle.transformers as hf
from hfpaddle import ops
from hfpaddle.core import rng
from hfpaddle.core.op import discover
from hfpaddle.kernels.cpu.testing import to_bfloat16
from hfpaddle.ops.precision import products

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.linear.halves", reason="the kernels were not built")

pytestmark = pytest.mark.unit

SHAPES = [
    (1, 1, 1), (16, 16, 32), (32, 32, 64), (33, 17, 5), (31, 65, 70), (5, 200, 4100),
    (70, 33, 2081),
]  # fmt: skip


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("across", [(False, False), (False, True), (True, False), (True, True)])
def test_products(shape, across):
    M, N, K = shape
    a, b = normal(M, K), normal(N, K) * 100
    want = to_bfloat16(a).astype(np.float64) @ to_bfloat16(b).astype(np.float64).T
    left, right = (
        paddle.to_tensor((m.T if turned else m).copy())
        for m, turned in zip((a, b), across, strict=True)
    )
    got = cpu.multiply(left, across[0], right, across[1], [M, N]).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=3e-6 * np.abs(want).max())


def test_what_is_not_a_number_stays_so():
    x = paddle.to_tensor([[np.nan, 1.0], [np.inf, 1.0], [-np.inf, 1.0], [3e38, 3e38]])
    got = cpu.multiply(x, False, paddle.ones([1, 2]), False, [4, 1]).numpy().ravel()
    assert np.isnan(got[0]) and got[1] == np.inf and got[2] == -np.inf and got[3] == np.inf
    tiny = np.uint32(0x7F800001).view(np.float32)  # a NaN whose upper half alone is infinity
    got = cpu.multiply(paddle.full([1, 1], float(tiny)), False, paddle.ones([1, 1]), False, [1, 1])
    assert np.isnan(got.numpy()).all()


@pytest.mark.parametrize("frozen", [False, True])
def test_linear_and_its_gradients(frozen):
    x, w, bias, g = normal(2, 9, 40), normal(70, 40), normal(70), normal(2, 9, 70)
    tensors = [paddle.to_tensor(t, stop_gradient=False) for t in (x, w, bias)]
    tensors[1].stop_gradient = frozen
    with products("bfloat16"):
        out = ops.linear(*tensors)
    plain = ops.linear(*tensors)  # outside
    out.backward(paddle.to_tensor(g))
    flat, g2 = to_bfloat16(x).reshape(-1, 40), to_bfloat16(g).reshape(-1, 70)
    want = [
        (flat @ to_bfloat16(w).T).reshape(2, 9, 70) + bias,
        (g2 @ to_bfloat16(w)).reshape(x.shape),
    ]
    got = [out, tensors[0].grad]
    if frozen:
        assert tensors[1].grad is None
    else:
        want.append(g2.T @ flat)
        got.append(tensors[1].grad)
    for ours, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(plain.numpy(), x @ w.T + bias, rtol=1e-4, atol=1e-4)
    assert 1e-4 < np.abs(plain.numpy() - out.numpy()).max() < 0.2


def tiny_llama() -> hf.LlamaForCausalLM:
    rng.manual_seed(0)
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 90}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    return hf.LlamaForCausalLM(hf.LlamaConfig(**sizes, **heads))


def test_recomputed_blocks_are_rounded_as_the_first_time():
    ids = paddle.to_tensor(np.random.default_rng(0).integers(0, 90, (2, 11)))
    found = []
    for recomputing in (False, True):
        model = tiny_llama().train()
        if recomputing:
            model.gradient_checkpointing_enable()
        with products("bfloat16"):
            loss = model(ids, labels=ids).loss
        loss.backward()  # outside of the block, as a Trainer does it
        found.append([loss.numpy(), *(p.grad.numpy() for p in model.parameters())])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("gains", [False, True])
def test_trainer(tmp_path, monkeypatch, gains):
    """200 updates with bf16=True: losses within 1 % of float32's, and rounded where that gains."""
    from hfpaddle.ops import precision

    monkeypatch.setitem(precision._devices, "cpu", lambda: gains)
    # Sequences that can be learnt: each counts up by its own step.
    start = np.random.default_rng(0).integers(0, 90, (64, 2))
    rows = (start[:, :1] + start[:, 1:] % 7 * np.arange(12)) % 90
    data = [{"input_ids": row.tolist(), "labels": row.tolist()} for row in rows]
    losses = []
    for bf16 in (False, True):
        arguments = hf.TrainingArguments(
            str(tmp_path), max_steps=200, per_device_train_batch_size=8, learning_rate=3e-3,
            logging_steps=10, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
            bf16=bf16,
        )  # fmt: skip
        trainer = hf.Trainer(tiny_llama(), arguments, train_dataset=data)
        trainer.train()
        losses.append([e["loss"] for e in trainer.state.log_history if "loss" in e])
    plain, half = map(np.array, losses)
    assert plain[-1] < 0.5 * plain[0]
    assert (np.abs(plain - half) <= 0.01 * plain + 0.01).all()
    assert (plain != half).any() == gains


def test_forcing_it_where_nothing_asks_for_it_runs_the_reference():
    x = paddle.randn([3, 4])
    with hfpaddle.kernels.use(linear="cpu-bfloat16"):
        got = ops.linear(x, paddle.ones([5, 4]))
    assert (got == paddle.matmul(x, paddle.ones([5, 4]), transpose_y=True)).all()
