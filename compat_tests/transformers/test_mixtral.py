import numpy as np
import paddle
import pytest
import transformers
from harness import TINY, batch, check_causal_lm, check_head, check_router

from hfpaddle.models.mixtral import MixtralForCausalLM

SMALL = {"num_local_experts": 5, "num_experts_per_tok": 2}
VARIANTS = {
    "released": {"sliding_window": None},
    "window": {"sliding_window": 5, "head_dim": 12, "tie_word_embeddings": True},
    "one_expert": {"num_experts_per_tok": 1, "hidden_act": "gelu", "rms_norm_eps": 1e-3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_mixtral(variant, tmp_path):
    check_causal_lm("mixtral", tmp_path, **{**SMALL, **VARIANTS[variant]})


@pytest.mark.parametrize(
    "head", ["SequenceClassification", "TokenClassification", "QuestionAnswering"]
)
def test_mixtral_heads(head, tmp_path):
    check_head("mixtral", f"AutoModelFor{head}", tmp_path, **SMALL)


def test_mixtral_router(tmp_path):
    check_router("mixtral", tmp_path, **SMALL)


def gate_gradient(model, inputs, checkpointing: bool) -> np.ndarray:
    """Gradient of the first router, all of whose loss is the balancing loss."""
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    output = model(**inputs, output_router_logits=True)
    output.aux_loss.backward()
    gradient = model.model.layers[0].block_sparse_moe.gate.weight.grad.numpy()
    model.clear_gradients()
    return gradient


def test_mixtral_aux_loss_survives_checkpointing():
    """Recomputed blocks still pass the gradient of what they recorded."""
    model = MixtralForCausalLM(transformers.MixtralConfig(**TINY, **SMALL))
    inputs = {"input_ids": paddle.to_tensor(batch()[0]), "use_cache": False}
    plain, recomputed = (gate_gradient(model, inputs, flag) for flag in (False, True))
    assert np.abs(plain).max() > 0
    np.testing.assert_allclose(recomputed, plain, rtol=1e-4, atol=1e-8)


def test_mixtral_jitter_is_for_training():
    config = transformers.MixtralConfig(**TINY, **SMALL, router_jitter_noise=0.3)
    model = MixtralForCausalLM(config)
    ids = paddle.to_tensor(batch()[0])
    logits = {}
    for training in (False, True):
        model.train() if training else model.eval()
        a, b = (model(input_ids=ids).logits.numpy() for _ in range(2))
        logits[training] = np.abs(a - b).max()
    assert logits[False] == 0 and logits[True] > 1e-6


def test_mixtral_router_while_decoding():
    """The mask is longer than the new tokens: its last columns count for the balancing loss."""
    model = MixtralForCausalLM(transformers.MixtralConfig(**TINY, **SMALL)).eval()
    ids, mask = (paddle.to_tensor(x) for x in batch())
    first = model(input_ids=ids[:, :8], attention_mask=mask[:, :8], use_cache=True)
    step = model(
        input_ids=ids[:, 8:],
        attention_mask=mask,
        past_key_values=first.past_key_values,
        output_router_logits=True,
    )
    whole = model(input_ids=ids, attention_mask=mask, output_router_logits=True)
    for a, b in zip(step.router_logits, whole.router_logits, strict=True):
        expected = b.reshape([2, 11, -1])[:, 8:].reshape(a.shape)
        np.testing.assert_allclose(a.numpy(), expected.numpy(), atol=1e-5)
    with pytest.raises(ValueError, match="2-D"):
        four = paddle.ones([2, 1, 11, 11], dtype="bool")
        model(input_ids=ids, attention_mask=four, output_router_logits=True)
