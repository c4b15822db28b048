"""Whole blocks in one call: the reference's numbers, and the calls that are left to it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import paddle
import pytest
import transformers

import hfpaddle.kernels
import hfpaddle.transformers as hf
from hfpaddle import ops
from hfpaddle.core.op import discover
from hfpaddle.core.rng import manual_seed
from hfpaddle.layers.cache import StaticCache

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.blocks", reason="the kernels were not built")

pytestmark = pytest.mark.unit

TINY = {
    "vocab_size": 61,
    "hidden_size": 40,
    "intermediate_size": 72,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 20,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
}
SLIDING = {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"] * 2}
FAMILIES = {
    "llama": {},
    "llama-bias": {"attention_bias": True, "mlp_bias": True},
    "mistral": {"sliding_window": 6},
    "qwen2": {},
    "qwen3": {},
    "gemma": {},
    "gemma2": {**SLIDING, "num_hidden_layers": 4},
    "gemma3_text": {**SLIDING, "num_hidden_layers": 4},
    "granite": {"residual_multiplier": 0.4, "attention_multiplier": 0.3},
    "starcoder2": {"sliding_window": None},
    "phi3": {},
    "olmo2": {},
    "cohere": {},
}


def model(name: str, dtype: str = "float32", **sizes: int) -> Any:
    """A family's causal model with weights that hide no mistake."""
    family = name.split("-")[0]
    config = transformers.AutoConfig.for_model(family, **{**TINY, **FAMILIES[name], **sizes})
    manual_seed(0)
    made = hf.AutoModelForCausalLM.from_config(config).eval()
    with paddle.no_grad():  # norms of ones and biases of zeros would hide mistakes
        for parameter in made.parameters():
            if parameter.ndim == 1:
                parameter.set_value(parameter + 0.3 * paddle.randn(parameter.shape))
            else:
                parameter.set_value(parameter * 8)
    return made if dtype == "float32" else made.to(dtype)


def ids(rows: int, length: int) -> paddle.Tensor:
    """The same tokens in every call, ``[rows, length]``."""
    return paddle.to_tensor(np.random.default_rng(1).integers(2, 61, (rows, length)))


def generate(made, prompt, implementation: str, **kwargs):
    with hfpaddle.kernels.use(run_blocks=implementation):
        return made.generate(
            prompt, max_new_tokens=12, output_logits=True, return_dict_in_generate=True, **kwargs
        )


def same(made, prompt, calls_at_least: int = 5, **kwargs) -> None:
    kwargs = {"do_sample": False, **kwargs}
    calls = []
    impl = ops.run_blocks.impls[0]
    original = impl.fn
    object.__setattr__(impl, "fn", lambda *a: calls.append(1) or original(*a))
    try:
        got = generate(made, prompt, "cpu", **kwargs)
    finally:
        object.__setattr__(impl, "fn", original)
    assert len(calls) >= calls_at_least, "the kernel did not run"
    want = generate(made, prompt, "reference", **kwargs)
    assert (got.sequences == want.sequences).all()
    for ours, expected in zip(got.logits, want.logits, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name):
    same(model(name), ids(2, 7))


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "mistral"])
def test_left_padding_beams_and_stored_halves(name):
    made = model(name)
    mask = paddle.to_tensor([[1] * 7, [0] * 3 + [1] * 4])
    same(made, ids(2, 7), attention_mask=mask)
    same(made, ids(2, 4), num_beams=3)
    same(model(name, "bfloat16"), ids(1, 5))


PROMPTS = {
    "causal": None,
    "left": [[1] * 70, [0] * 33 + [1] * 37],
    "holes": [[1] * 70, [1, 0] * 35],
}


@pytest.mark.parametrize("padding", PROMPTS)
@pytest.mark.parametrize("name", FAMILIES)
def test_prompts(name, padding):
    """Long enough for blocked products and attention, and for windows to leave tokens behind."""
    mask = None if padding == "causal" else paddle.to_tensor(PROMPTS[padding])
    made, prompt = model(name), ids(2, 70)
    results = []
    for choice in ("cpu", "reference"):
        with hfpaddle.kernels.use(run_blocks=choice), paddle.no_grad():
            alone = made(prompt, attention_mask=mask, use_cache=False).logits
            output = made(prompt, attention_mask=mask, use_cache=True)
            cache = output.past_key_values
            more = None if mask is None else paddle.concat([mask, paddle.ones([2, 20], "int64")], 1)
            behind = made(ids(2, 20), attention_mask=more, past_key_values=cache).logits
            kept = [t for layer in cache.layers for t in (layer.keys, layer.values)]
            results.append([alone, output.logits, behind, *kept])
    real = np.ones((2, 70), bool) if mask is None else mask.numpy() != 0
    for i, (got, want) in enumerate(zip(*results, strict=True)):
        assert got.shape == want.shape
        got, want = (t.numpy()[real] if i < 2 else t.numpy() for t in (got, want))
        if i < 3:  # keys of padding differ: what sees nothing is undefined
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-4)


def test_several_tokens_behind_a_cache():
    made = model("gemma3_text")
    prompt, more = ids(2, 9), ids(2, 3)
    results = []
    for choice in ("cpu", "reference"):
        with hfpaddle.kernels.use(run_blocks=choice), paddle.no_grad():
            cache = made(prompt, use_cache=True).past_key_values
            first = made(more, past_key_values=cache).logits
            again = made(more[:, :1], past_key_values=cache).logits
            kept = [t for layer in cache.layers for t in (layer.keys, layer.values)]
            assert cache.get_seq_length() == 13
        results.append([first, again, *kept])
    for got, want in zip(*results, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_the_cache_grows_beyond_its_room_and_can_be_cropped():
    made = model("llama")
    cache = made(ids(1, 3), use_cache=True).past_key_values
    plain = made(ids(1, 3), use_cache=True).past_key_values
    token = ids(1, 1)
    with paddle.no_grad():
        for step in range(140):
            if step == 70:
                cache.crop(-3), plain.crop(-3)
            got = made(token, past_key_values=cache).logits
            with hfpaddle.kernels.use(run_blocks="reference"):
                want = made(token, past_key_values=plain).logits
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
            token = got.argmax(-1)
    assert cache.get_seq_length() == plain.get_seq_length() == 140


class Wrapped(paddle.nn.Layer):
    """What an adapter does: another layer in the place of a linear one, which it calls."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) * 2


def test_changed_weights_and_hooks_are_seen():
    made = model("llama")
    prompt = ids(1, 4)
    before = generate(made, prompt, "cpu").logits[1]
    layer = made.model.layers[1].mlp.up_proj
    layer.weight.set_value(layer.weight * 2)
    changed = generate(made, prompt, "cpu").logits[1]
    assert np.abs(changed.numpy() - before.numpy()).max() > 1e-3
    same(made, prompt)
    plain = generate(made, prompt, "cpu").logits[1]
    made.model.layers[2].mlp.down_proj = Wrapped(made.model.layers[2].mlp.down_proj)
    assert np.abs(generate(made, prompt, "cpu").logits[1].numpy() - plain.numpy()).max() > 1e-3
    made.model.layers[2].mlp.down_proj = made.model.layers[2].mlp.down_proj.inner
    same(made, prompt)
    half = model("llama", "bfloat16")
    before = generate(half, prompt, "cpu").logits[1]
    half.model.norm.weight.set_value(half.model.norm.weight)
    norm = half.model.layers[0].input_layernorm.weight
    norm.set_value(norm * 3)
    assert np.abs(generate(half, prompt, "cpu").logits[1].numpy() - before.numpy()).max() > 1e-3
    seen = []
    hook = layer.register_forward_post_hook(lambda *_: seen.append(1))
    generate(made, prompt, "reference")
    count = len(seen)
    made.generate(prompt, max_new_tokens=12)
    assert len(seen) == 2 * count  # every step calls the layer
    hook.remove()
    same(made, prompt)


def test_what_it_leaves_to_the_reference():
    made = model("llama")
    blocks, prompt = made.model.layers, ids(1, 4)
    cache = made(prompt, use_cache=True).past_key_values
    state = made.model.make_state  # the state of a step, as forward makes it
    assert callable(state)
    calls = []
    impl = ops.run_blocks.impls[0]
    original = impl.fn
    object.__setattr__(impl, "fn", lambda *a: calls.append(1) or original(*a))
    try:
        made(ids(1, 1), past_key_values=cache)  # with gradients
        with paddle.no_grad():
            made(ids(1, 1), past_key_values=cache, output_attentions=True)
            made(ids(1, 1), past_key_values=cache, output_hidden_states=True)
            bias = paddle.zeros([1, 1, 1, cache.get_seq_length() + 1])
            made(ids(1, 1), past_key_values=cache, attention_mask=bias)
            made(prompt, use_cache=False)  # scores to compare with a training step's
            assert not calls and len(blocks) == 3
            made(ids(1, 1), past_key_values=cache)
            made(prompt, use_cache=True)
            assert len(calls) == 2
    finally:
        object.__setattr__(impl, "fn", original)


def test_more_threads_than_heads_give_the_same():
    """A team of five: some threads have no head, or no row, to compute."""
    if os.environ.get("OMP_NUM_THREADS") == "5":
        pytest.skip("runs once")
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-q", __file__, "-k", "families"]
    variables = {**os.environ, "OMP_NUM_THREADS": "5"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-2000:]


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "mistral"])
def test_static_caches(name):
    made = model(name)
    calls = 12 if name == "llama" else 3  # a full window's tokens move, which the reference does
    same(made, ids(2, 3), calls, cache_implementation="static")
    mask = paddle.to_tensor([[1] * 3, [0] + [1] * 2])
    same(made, ids(2, 3), calls, cache_implementation="static", attention_mask=mask)


def test_a_static_cache_by_hand():
    """Reset, used again, filled to the brim and beyond; with padding."""
    made = model("llama")
    mask = paddle.to_tensor([[1] * 40, [0] * 5 + [1] * 35])
    results = []
    for choice in ("cpu", "reference"):
        with hfpaddle.kernels.use(run_blocks=choice), paddle.no_grad():
            cache = StaticCache(made.config, max_cache_len=40)
            made(ids(2, 9), past_key_values=cache)
            cache.reset()
            first = made(ids(2, 30), past_key_values=cache, attention_mask=mask[:, :30]).logits
            second = made(ids(2, 9), past_key_values=cache, attention_mask=mask[:, :39]).logits
            last = made(ids(2, 1), past_key_values=cache, attention_mask=mask).logits
            with pytest.raises(IndexError, match="41 tokens do not fit"):
                made(ids(2, 1), past_key_values=cache)
            results.append([first, second, last, cache.layers[1].keys])
    real = mask[:, :30].numpy() != 0
    for i, (got, want) in enumerate(zip(*results, strict=True)):
        got, want = (t.numpy()[real] if i == 0 else t.numpy() for t in (got, want))
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-4)


def test_a_cache_of_another_batch_is_refused_by_the_reference():
    made = model("llama")
    with paddle.no_grad():
        cache = made(ids(2, 4), use_cache=True).past_key_values
        with pytest.raises(ValueError):
            made(ids(3, 1), past_key_values=cache)
