"""Packed samples give what each gives alone, and the loss and gradients of the padded batch.

Every decoder family is under these tests: one that the table below lacks takes `TINY` as it is.
"""

from __future__ import annotations

import inspect
from functools import cache

import numpy as np
import paddle
import pytest
import transformers

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.modeling.auto import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from hfpaddle.modeling.decoder import DecoderForCausalLM
from hfpaddle.modeling.registry import families, family_module

pytestmark = pytest.mark.unit

TINY = {
    **{"vocab_size": 61, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
LATENT = {
    **{"num_key_value_heads": 4, "q_lora_rank": 14, "kv_lora_rank": 10, "qk_nope_head_dim": 6},
    **{"qk_rope_head_dim": 4, "v_head_dim": 7, "first_k_dense_replace": 1, "n_group": 4},
    **{"moe_intermediate_size": 20, "n_routed_experts": 8, "num_experts_per_tok": 3},
}
WINDOW = {"sliding_window": 4}
SOME = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
# What differs from TINY: positions, windows, experts and caps of each family.
VARIANTS: dict[str, list[dict]] = {
    "chatglm": [
        {"padded_vocab_size": 61, "ffn_hidden_size": 24, "num_layers": 2, "kv_channels": 8,
         "multi_query_attention": True, "multi_query_group_num": 2, "seq_length": 64,
         "vocab_size": None, "intermediate_size": None, "max_position_embeddings": None,
         "num_hidden_layers": None, "num_key_value_heads": None},
    ],
    "cohere": [{}, {"use_qk_norm": True}],
    "deepseek_v3": [LATENT],
    "ernie4_5_moe": [{"moe_intermediate_size": 16, "moe_num_experts": 4, "moe_k": 2}],
    "falcon": [{}, {"alibi": True}, {"new_decoder_architecture": True, "num_kv_heads": 2}],
    "gemma": [{"head_dim": 8}],
    "gemma2": [{**SOME, "head_dim": 8, "attn_logit_softcapping": 2.0}],
    "gemma3_text": [
        {**SOME, "head_dim": 8},
        {**SOME, "head_dim": 8, "use_bidirectional_attention": True},
    ],
    "glm": [{"head_dim": 8}],
    "glm4": [{"head_dim": 8}],
    "gptj": [{"rotary_dim": 4}],
    "llama": [{}, {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}],
    "mistral": [{}, WINDOW],
    "mixtral": [{**WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2}],
    "opt": [{"ffn_dim": 24}, {"do_layer_norm_before": False, "word_embed_proj_dim": 24}],
    "phi3": [WINDOW],
    "qwen2": [{**SOME, "use_sliding_window": True}],
    "qwen2_moe": [{**EXPERTS, "shared_expert_intermediate_size": 16}],
    "qwen3": [{**SOME, "use_sliding_window": True, "head_dim": 8}],
    "qwen3_moe": [{**EXPERTS, "head_dim": 8}],
    "smollm3": [{**SOME, "use_sliding_window": True}],
    "stablelm": [{}, {"use_parallel_residual": True, "qk_layernorm": True}],
    "starcoder2": [WINDOW],
}  # fmt: skip
LENGTHS = (5, 9, 5, 1, 12, 3)


def main_class(family: str) -> type | None:
    """The causal language model that a family's file defines, or None."""
    module = family_module(family)
    found = [c for c in vars(module).values() if inspect.isclass(c)]
    found = [c for c in found if issubclass(c, DecoderForCausalLM)]
    return next((c for c in found if c.__module__ == module.__name__), None)


DECODERS = [family for family in families() if main_class(family)]
CASES = [(f, i) for f in sorted(DECODERS) for i in range(len(VARIANTS.get(f, [{}])))]


@cache
def model_of(family: str, variant: int = 0):
    """A tiny model whose weights are large enough for attention to matter."""
    cls = main_class(family)
    fields = {**TINY, **VARIANTS.get(family, [{}])[variant]}
    config = cls.config_class(**{k: v for k, v in fields.items() if v is not None})
    model = cls(config).eval()
    random = np.random.default_rng(0)
    for name, parameter in sorted(model.named_parameters()):
        noise = random.standard_normal(parameter.shape).astype("float32")
        if parameter.ndim < 2:
            centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.set_value(centre + 0.1 * noise)
        else:
            parameter.set_value(noise * parameter.shape[-1] ** -0.5)
    return model


def samples() -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [random.integers(3, 61, n) for n in LENGTHS]


def tensors(**arrays) -> dict:
    return {k: paddle.to_tensor(np.asarray(v), dtype="int64") for k, v in arrays.items()}


def flattened() -> dict:
    """One row of all samples, as DataCollatorWithFlattening gives it."""
    ids = samples()
    labels = [np.concatenate([[-100], sample[1:]]) for sample in ids]
    positions = [np.arange(n) for n in LENGTHS]
    named = {"input_ids": ids, "labels": labels, "position_ids": positions}
    return tensors(**{k: np.concatenate(v)[None] for k, v in named.items()})


def padded() -> dict:
    ids, mask = np.zeros([2, len(LENGTHS), max(LENGTHS)], dtype="int64")
    for row, sample in enumerate(samples()):
        ids[row, : len(sample)], mask[row, : len(sample)] = sample, 1
    labels = np.where(mask > 0, ids, -100)
    return tensors(input_ids=ids, attention_mask=mask, labels=labels)


def gradients(model, batch: dict) -> tuple[float, dict]:
    model.clear_gradients()
    loss = model(**batch).loss
    loss.backward()
    found = {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
    model.clear_gradients()
    return float(loss), found


BOUNDS = np.cumsum([0, *LENGTHS])
MARKS = {
    "positions": {},
    "bounds": {"cu_seq_lens_q": BOUNDS, "cu_seq_lens_k": BOUNDS, "position_ids": None},
    "numbers": {"seq_idx": [np.repeat(np.arange(6), LENGTHS)], "position_ids": None},
}


@pytest.mark.parametrize(("family", "variant"), CASES)
def test_each_sample_as_alone(family, variant):
    """Logits are those of each sample alone, whatever tells the samples apart."""
    model, ids = model_of(family, variant), flattened()["input_ids"]
    with paddle.no_grad():
        alone = [model(**tensors(input_ids=sample[None])).logits.numpy() for sample in samples()]
        want = np.concatenate(alone, axis=1)
        for name, marks in MARKS.items():
            given = {"position_ids": flattened()["position_ids"], "input_ids": ids}
            given |= {k: v if v is None else tensors(v=v)["v"] for k, v in marks.items()}
            np.testing.assert_allclose(model(**given).logits, want, atol=2e-5, err_msg=name)
        whole = model(**flattened(), attention_mask=paddle.ones_like(ids))
        assert np.abs(whole.logits.numpy() - want).max() > 1e-2, "samples would not be told apart"
        dense = model(**flattened(), output_attentions=True)
        np.testing.assert_allclose(dense.logits, want, atol=2e-5)
        weights = dense.attentions[0].numpy()[0]
        numbers = np.repeat(np.arange(6), LENGTHS)
        # Paddle's softmax gives hidden keys about 1e-28.
        assert weights[:, numbers[:, None] != numbers].max() < 1e-20


@pytest.mark.parametrize(("family", "variant"), CASES)
def test_loss_and_gradients_of_the_padded_batch(family, variant):
    model = model_of(family, variant)
    loss, want = gradients(model, padded())
    packed, got = gradients(model, flattened())
    assert packed == pytest.approx(loss, rel=1e-5)
    assert got.keys() == want.keys() and len(got) > 5
    scale = max(float(np.abs(g).max()) for g in want.values())
    for name, gradient in want.items():
        np.testing.assert_allclose(got[name], gradient, atol=1e-5 * scale, err_msg=name)


def test_rows_of_packed_samples():
    """Several rows, each with samples of its own, where no cache is asked for."""
    model, random = model_of("mistral", 1), np.random.default_rng(2)
    ids = random.integers(3, 61, [2, 9])
    positions = [[0, 1, 2, 3, 0, 1, 2, 0, 1], [0, 1, 2, 3, 4, 5, 0, 1, 2]]
    batch = tensors(input_ids=ids, position_ids=positions)
    with paddle.no_grad():
        got = model(**batch, use_cache=False).logits.numpy()
        first = model(**tensors(input_ids=ids[:1, 4:7])).logits.numpy()
        second = model(**tensors(input_ids=ids[1:, :6])).logits.numpy()
        cached = model(**batch).logits.numpy()
    np.testing.assert_allclose(got[:1, 4:7], first, atol=1e-5)
    np.testing.assert_allclose(got[1:, :6], second, atol=1e-5)
    assert np.abs(cached - got).max() > 1e-2  # as in the original, a cache forbids packing


def test_checkpointed_blocks_and_experts():
    """Recomputed blocks pack too, and the balancing loss counts the same tokens."""
    model = model_of("mixtral")
    flags = {"output_router_logits": True}
    loss, want = gradients(model, {**padded(), **flags})
    model.train()
    model.gradient_checkpointing_enable()
    try:
        packed, got = gradients(model, {**flattened(), **flags})
    finally:
        model.gradient_checkpointing_disable()
        model.eval()
    assert packed == pytest.approx(loss, rel=1e-5)
    scale = max(float(np.abs(g).max()) for g in want.values())
    for name, gradient in want.items():
        np.testing.assert_allclose(got[name], gradient, atol=1e-5 * scale, err_msg=name)


ROW = tensors(input_ids=[[5, 6, 7, 8, 9]])
TWO = tensors(v=[0, 2, 5])["v"]
BOTH = {"cu_seq_lens_q": TWO, "cu_seq_lens_k": TWO}
UNSUPPORTED = {
    "a cache": ({**BOTH, "use_cache": True}, "cannot fill or read a cache"),
    "a mask": ({**BOTH, **tensors(attention_mask=[[0, 1, 1, 1, 1]])}, "hides something"),
    "unequal bounds": ({"cu_seq_lens_q": TWO, "cu_seq_lens_k": TWO[:2]}, "unlike cu_seq_lens_k"),
}
WRONG = {
    "short bounds": ({"cu_seq_lens_q": TWO[:2]}, "rise from 0 to the number of tokens, 5"),
    "falling bounds": (tensors(cu_seq_lens_q=[0, 4, 2, 5]), "rise from 0"),
    "a length": ({**BOTH, "max_length_q": 2}, "max_length_q = 2, but a sample has 3"),
    "numbers": ({**BOTH, **tensors(seq_idx=[[0, 1, 1, 1, 1]])}, "different samples"),
    "positions": (
        tensors(seq_idx=[[0, 0, 1, 1, 1]], position_ids=[[0, 1, 2, 0, 1]]),
        "seq_idx and position_ids name different samples",
    ),
    "a shape": (tensors(seq_idx=[0, 0, 1, 1, 1]), r"seq_idx has shape \[5\]"),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_is_not_implemented_is_refused(case):
    given, message = UNSUPPORTED[case]
    with pytest.raises(UnsupportedArgumentError, match=message):
        model_of("llama")(**ROW, **given)


@pytest.mark.parametrize("case", WRONG)
def test_contradictions_are_refused(case):
    given, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        model_of("llama")(**ROW, **given)


def test_what_is_accepted_besides():
    """Ones as a mask, empty samples and one whole sample change nothing."""
    model = model_of("opt")
    with paddle.no_grad():
        want = model(**ROW, **BOTH).logits.numpy()
        ones = paddle.ones_like(ROW["input_ids"])
        got = model(**ROW, **BOTH, attention_mask=ones, max_length_q=3, max_length_k=9).logits
        np.testing.assert_array_equal(got.numpy(), want)
        empty = tensors(cu_seq_lens_q=[0, 0, 2, 2, 5, 5])
        np.testing.assert_array_equal(model(**ROW, **empty).logits.numpy(), want)
        one = model(**ROW, **tensors(cu_seq_lens_q=[0, 5])).logits.numpy()
        np.testing.assert_array_equal(one, model(**ROW, use_cache=False).logits.numpy())


ENCODERS = {
    "bert": transformers.BertConfig,
    "distilbert": transformers.DistilBertConfig,
    "modernbert": transformers.ModernBertConfig,
    "roberta": transformers.RobertaConfig,
    "bart": transformers.BartConfig,
    "t5": transformers.T5Config,
}
SHORT = {
    **{"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "intermediate_size": 16},
    **{"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "num_layers": 1, "d_kv": 8},
    **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_heads": 2, "d_ff": 16},
    **{"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "pad_token_id": 0, "bos_token_id": 1},
    **{"eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2, "decoder_start_token_id": 1},
}


@pytest.mark.parametrize("family", ENCODERS)
def test_encoders_refuse(family):
    """Families that would let samples see each other say so."""
    known = ENCODERS[family]()
    fields = {k: v for k, v in SHORT.items() if hasattr(known, k)}
    model = AutoModel.from_config(ENCODERS[family](**fields))
    restarting = tensors(position_ids=[[0, 1, 0, 1, 2]])
    for marks in (restarting, BOTH, tensors(seq_idx=[[0, 0, 1, 1, 1]])):
        with pytest.raises(UnsupportedArgumentError, match="packed samples|support position_ids"):
            model(**ROW, **marks)


def test_one_sample_of_an_encoder_keeps_its_positions():
    fields = {k: v for k, v in SHORT.items() if hasattr(transformers.BertConfig(), k)}
    model = AutoModel.from_config(transformers.BertConfig(**fields))
    model(**ROW, **tensors(position_ids=[[5, 4, 3, 2, 1]]))
    ones = paddle.ones_like(ROW["input_ids"])
    model(**ROW, **tensors(position_ids=[[0, 1, 0, 1, 2]]), attention_mask=ones)


HEADS = [
    ("llama", AutoModelForSequenceClassification),
    ("llama", AutoModelForQuestionAnswering),
    ("chatglm", AutoModelForSequenceClassification),
]


@pytest.mark.parametrize(("family", "auto"), HEADS)
def test_heads_of_one_result_a_row_refuse(family, auto):
    config = model_of(family).config
    model = auto.from_config(config)
    for marks in (tensors(position_ids=[[0, 1, 0, 1, 2]]), BOTH):
        with pytest.raises(UnsupportedArgumentError, match="mark packed samples"):
            model(**ROW, **marks)
    model(**ROW, **tensors(position_ids=[[0, 1, 2, 3, 4]]))


def test_every_token_of_packed_samples_is_classified():
    model = AutoModelForTokenClassification.from_config(model_of("llama").config).eval()
    with paddle.no_grad():
        got = model(**ROW, **BOTH).logits.numpy()
        last = model(**tensors(input_ids=[[7, 8, 9]])).logits.numpy()
    np.testing.assert_allclose(got[:, 2:], last, atol=1e-6)
