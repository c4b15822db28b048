"""LoRA in whole blocks: active, several, by row of a batch, scaled, off and merged."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import hfpaddle.kernels
from hfpaddle import ops
from hfpaddle.core.op import discover
from hfpaddle.kernels.cpu.blocks.blocks_test import ids as tokens
from hfpaddle.kernels.cpu.blocks.blocks_test import model as plain_model
from hfpaddle.peft import LoraConfig, get_peft_model
from hfpaddle.transformers import AutoModelForCausalLM, WeightOnlyConfig

discover("cpu")
pytest.importorskip("hfpaddle.kernels.cpu.blocks", reason="the kernels were not built")

pytestmark = pytest.mark.unit

TARGETS = {
    "llama": ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"],
    "phi3": ["qkv_proj", "gate_up_proj", "down_proj"],
    "gemma3_text": "all-linear",
}


def adapted(name: str, base=None):
    """A model with two adapters of different ranks, "one" active."""
    config = {"target_modules": TARGETS[name], "init_lora_weights": False}
    base = base or plain_model(name)
    model = get_peft_model(base, LoraConfig(r=5, lora_alpha=8, **config), adapter_name="one")
    model.add_adapter("two", LoraConfig(r=18, lora_alpha=3, use_rslora=True, **config))
    return model.eval()


def logits(model, implementation: str, ids, steps: int = 3, **kwargs) -> tuple[np.ndarray, int]:
    """Logits of a prompt and some steps, and how often the kernel ran."""
    impl, calls = ops.run_blocks.impls[0], []
    original = impl.fn
    object.__setattr__(impl, "fn", lambda *a: calls.append(1) or original(*a))
    found = []
    try:
        with hfpaddle.kernels.use(run_blocks=implementation), paddle.no_grad():
            cache = None
            for _ in range(steps):
                out = model(ids, past_key_values=cache, use_cache=True, **kwargs)
                cache, ids = out.past_key_values, out.logits[:, -1:].argmax(-1)
                found.append(out.logits.numpy())
    finally:
        object.__setattr__(impl, "fn", original)
    return np.concatenate(found, axis=1), len(calls)


def check(model, ids, runs: bool = True, **kwargs) -> np.ndarray:
    got, calls = logits(model, "cpu", ids, **kwargs)
    assert calls == (3 if runs else 0)
    want, _ = logits(model, "reference", ids, **kwargs)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-4)
    return got


@pytest.mark.parametrize("length", [4, 30])  # few tokens, and many
@pytest.mark.parametrize("name", TARGETS)
def test_active_scaled_switched_and_off(name, length):
    model, ids = adapted(name), tokens(2, length)
    one = check(model, ids)
    for layer in model.sublayers():
        if hasattr(layer, "scale_layer"):
            layer.scale_layer(2.0)
    scaled = check(model, ids)
    model.set_adapter("two")
    two = check(model, ids)
    model.base_model.set_adapter(["one", "two"])
    both = check(model, ids)
    with model.disable_adapter():
        off = check(model, ids)
    again = check(model, ids)
    np.testing.assert_array_equal(both, again)
    different = [one, scaled, two, both, off]
    for i, first in enumerate(different):
        for second in different[:i]:
            assert np.abs(first - second).max() > 1e-2


@pytest.mark.parametrize("length", [4, 30])
def test_each_row_has_its_own(length):
    model, ids = adapted("llama"), tokens(1, length).tile([4, 1])
    got = check(model, ids, adapter_names=["two", "__base__", "one", "two"])
    np.testing.assert_allclose(got[0], got[3], atol=1e-5)
    with model.disable_adapter():
        np.testing.assert_allclose(got[1], check(model, ids)[1], rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(got[2], check(model, ids)[2], rtol=1e-4, atol=2e-4)
    with pytest.raises(ValueError, match="should be the same as the number of inputs"):
        logits(model, "cpu", ids[:3], adapter_names=["two", "__base__", "one", "two"])


def test_merged_and_unmerged():
    model, ids = adapted("llama"), tokens(2, 4)
    before = check(model, ids)
    model.merge_adapter()
    np.testing.assert_allclose(check(model, ids), before, rtol=1e-3, atol=1e-3)
    model.unmerge_adapter()
    np.testing.assert_allclose(check(model, ids), before, rtol=1e-3, atol=1e-3)


def test_training_the_adapter_is_seen():
    model, ids = adapted("llama"), tokens(2, 4)
    before = check(model, ids)
    weight = model.base_model.model.model.layers[1].mlp.down_proj.lora_B["one"].weight
    weight.set_value(weight * 3)
    assert np.abs(check(model, ids) - before).max() > 1e-2


def test_what_is_left_to_the_reference():
    ids = tokens(2, 4)
    common = {"target_modules": ["q_proj"], "init_lora_weights": False}
    dora = get_peft_model(plain_model("llama"), LoraConfig(use_dora=True, **common)).eval()
    check(dora, ids, runs=False)
    dropping = get_peft_model(plain_model("llama"), LoraConfig(lora_dropout=0.5, **common))
    dropping.eval()
    check(dropping, ids)
    dropping.base_model.model.model.layers[0].self_attn.q_proj.train()
    assert logits(dropping, "cpu", ids)[1] == 0


@pytest.mark.parametrize("bits", [8, 4])
def test_over_weights_of_few_bits(tmp_path, bits):
    """The base's activations are rounded to 8 bits, so the reference is compared loosely."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    plain_model("llama", **sizes).save_pretrained(tmp_path)
    config = WeightOnlyConfig(bits=bits)
    base = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=config)
    model, ids = adapted("llama", base), tokens(2, 4)
    got, calls = logits(model, "cpu", ids)
    assert calls == 3
    with hfpaddle.kernels.use(run_blocks="reference", quantized_linear="reference"):
        want, _ = logits(model, "reference", ids, steps=1)
    error = np.abs(got[:, :4] - want).mean() / np.abs(want).mean()
    assert error < 0.03
