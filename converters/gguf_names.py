"""What GGUF architectures call the tensors and config keys of Hub models, as data.

A family lists its own names over a shared decoder. ``{e}`` in a Hub name stands for the expert: the
file stacks what the Hub stores one by one.

Source: ``gguf-py/gguf/constants.py`` and ``convert_hf_to_gguf.py`` of llama.cpp; the config keys
follow transformers' ``integrations/ggml.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Family:
    """One GGUF architecture.

    Attributes:
        model_type: transformers' name.
        top: file name of a tensor outside the layers -> Hub name, both without ``.weight``.
        layer: the same inside a layer, after ``blk.N.`` and the Hub's prefix.
        prefix: Hub name of layer ``{i}``.
        config: metadata key after the architecture -> config key.
        extra: as ``config``, but transformers ignores these: a model of any but the default size
            would not fit its own tensors, or would turn positions at the wrong speed.
        defaults: config keys that the file cannot say.
        transforms: part of a file name -> transform in ``gguf.py`` that gives the Hub's values.
        dropped: tensors that carry no weight of the Hub's model.
    """

    model_type: str
    layer: dict[str, str]
    config: dict[str, str]
    top: dict[str, str]
    prefix: str = "model.layers.{i}."
    extra: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, object] = field(default_factory=dict)
    transforms: dict[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_ATTENTION = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
}
_NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
_MLP = {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
_DECODER = _ATTENTION | _NORMS | _MLP
_QK_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_EXPERTS = {
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.experts.{e}.gate_proj",
    "ffn_up_exps": "mlp.experts.{e}.up_proj",
    "ffn_down_exps": "mlp.experts.{e}.down_proj",
}
_SHARED_EXPERT = {
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
}
_GEMMA = _DECODER | {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}

_SIZES = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "embedding_length": "hidden_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
}
_CONFIG = _SIZES | {
    "rope.freq_base": "rope_theta",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "vocab_size": "vocab_size",
}
_HEAD_DIM = {"attention.key_length": "head_dim"}
_MOE_CONFIG = {"expert_count": "num_experts", "expert_used_count": "num_experts_per_tok"}
_MOE_SIZE = {"expert_feed_forward_length": "moe_intermediate_size"}
_GEMMA_CONFIG = _CONFIG | _HEAD_DIM | {"attention.sliding_window": "sliding_window"}
_ROPE_BASE = {"rope.freq_base": "rope_theta"}

_LLAMA_CONFIG = _CONFIG | {"rope.dimension_count": "head_dim"}
_LLAMA_TRANSFORMS = {"attn_q.": "unpermute_heads", "attn_k.": "unpermute_kv_heads"}
_LLAMA_DROPPED = ("rope_freqs.weight", "attn_rot_embd")


def _llama(model_type: str) -> Family:
    return Family(
        model_type,
        _DECODER,
        _LLAMA_CONFIG,
        _TOP,
        transforms=_LLAMA_TRANSFORMS,
        dropped=_LLAMA_DROPPED,
    )


MIXTRAL = Family(
    "mixtral",
    _ATTENTION
    | _NORMS
    | {
        "ffn_gate_inp": "block_sparse_moe.gate",
        "ffn_gate_exps": "block_sparse_moe.experts.{e}.w1",
        "ffn_down_exps": "block_sparse_moe.experts.{e}.w2",
        "ffn_up_exps": "block_sparse_moe.experts.{e}.w3",
    },
    _LLAMA_CONFIG,
    _TOP,
    extra={"expert_count": "num_local_experts", "expert_used_count": "num_experts_per_tok"},
    transforms=_LLAMA_TRANSFORMS,
    dropped=_LLAMA_DROPPED,
)

_GPT2 = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
_FUSED_ATTENTION = {
    "attn_norm": "input_layernorm",
    "attn_qkv": "self_attention.query_key_value",
    "attn_output": "self_attention.dense",
    "ffn_norm": "post_attention_layernorm",
}
_FALCON_MLP = {"ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h"}
_FUSED_TOP = {
    "token_embd": "transformer.word_embeddings",
    "token_embd_norm": "transformer.word_embeddings_layernorm",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
}
_MINUS_ONE = {"norm.weight": "minus_one"}

FAMILIES: dict[str, Family] = {
    "llama": _llama("llama"),
    "mistral": _llama("mistral"),
    "qwen2": Family("qwen2", _DECODER, _CONFIG, _TOP),
    "qwen3": Family("qwen3", _DECODER | _QK_NORMS, _CONFIG, _TOP, extra=_HEAD_DIM),
    "qwen2moe": Family(
        "qwen2_moe",
        _ATTENTION | _NORMS | _EXPERTS | _SHARED_EXPERT,
        _CONFIG | _MOE_CONFIG,
        _TOP,
        extra=_MOE_SIZE | {"expert_shared_feed_forward_length": "shared_expert_intermediate_size"},
        transforms={"ffn_gate_inp_shexp": "as_one_row"},
    ),
    "qwen3moe": Family(
        "qwen3_moe",
        _ATTENTION | _NORMS | _QK_NORMS | _EXPERTS,
        _CONFIG | _HEAD_DIM | _MOE_CONFIG,
        _TOP,
        extra=_MOE_SIZE,
        defaults={"norm_topk_prob": True},
    ),
    "gemma2": Family("gemma2", _GEMMA, _GEMMA_CONFIG, _TOP, transforms=_MINUS_ONE),
    "gemma3": Family("gemma3_text", _GEMMA | _QK_NORMS, _GEMMA_CONFIG, _TOP, transforms=_MINUS_ONE),
    "phi3": Family(
        "phi3",
        _NORMS
        | {
            "attn_qkv": "self_attn.qkv_proj",
            "attn_output": "self_attn.o_proj",
            "ffn_up": "mlp.gate_up_proj",
            "ffn_down": "mlp.down_proj",
        },
        _CONFIG,
        _TOP,
        dropped=("rope_factors_long.weight", "rope_factors_short.weight"),
    ),
    "starcoder2": Family(
        "starcoder2",
        _ATTENTION | _NORMS | {"ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"},
        _SIZES | {"attention.layer_norm_epsilon": "norm_epsilon"},
        _TOP,
        extra=_ROPE_BASE,
    ),
    "stablelm": Family(
        "stablelm",
        _DECODER,
        _SIZES | {"attention.layer_norm_epsilon": "layer_norm_eps", "vocab_size": "vocab_size"},
        _TOP,
        extra=_ROPE_BASE,
    ),
    "gpt2": Family(
        "gpt2",
        _GPT2,
        {
            "block_count": "n_layer",
            "context_length": "n_ctx",
            "embedding_length": "n_embd",
            "feed_forward_length": "feed_forward_length",
            "attention.head_count": "n_head",
            "attention.layer_norm_epsilon": "layer_norm_epsilon",
        },
        {
            "token_embd": "transformer.wte",
            "position_embd": "transformer.wpe",
            "output_norm": "transformer.ln_f",
            "output": "lm_head",
        },
        "transformer.h.{i}.",
        extra={"context_length": "n_positions", "feed_forward_length": "n_inner"},
        transforms={
            f"{name}.weight": "transpose"
            for name in ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
        },
    ),
    "bloom": Family(
        "bloom",
        _FUSED_ATTENTION | _FALCON_MLP,
        {
            "block_count": "n_layer",
            "embedding_length": "hidden_size",
            "attention.head_count": "n_head",
            "attention.layer_norm_epsilon": "layer_norm_epsilon",
            "vocab_size": "vocab_size",
        },
        _FUSED_TOP,
        "transformer.h.{i}.",
        transforms={"attn_qkv": "interleave_qkv"},
    ),
    "falcon": Family(
        "falcon",
        {k: v for k, v in _FUSED_ATTENTION.items() if k != "ffn_norm"} | _FALCON_MLP,
        _CONFIG,
        _FUSED_TOP,
        "transformer.h.{i}.",
        extra={"feed_forward_length": "ffn_hidden_size"},
    ),
}

# T5 has two stacks; its layers hold numbered sub-layers.
_T5_ATTENTION = {
    "attn_norm": "layer.0.layer_norm",
    "attn_q": "layer.0.SelfAttention.q",
    "attn_k": "layer.0.SelfAttention.k",
    "attn_v": "layer.0.SelfAttention.v",
    "attn_o": "layer.0.SelfAttention.o",
    "attn_rel_b": "layer.0.SelfAttention.relative_attention_bias",
}
_T5_CROSS = {
    "cross_attn_norm": "layer.1.layer_norm",
    "cross_attn_q": "layer.1.EncDecAttention.q",
    "cross_attn_k": "layer.1.EncDecAttention.k",
    "cross_attn_v": "layer.1.EncDecAttention.v",
    "cross_attn_o": "layer.1.EncDecAttention.o",
}


def _t5_mlp(at: int) -> dict[str, str]:
    return {
        "ffn_norm": f"layer.{at}.layer_norm",
        "ffn_gate": f"layer.{at}.DenseReluDense.wi_0",
        "ffn_up": f"layer.{at}.DenseReluDense.wi_1",
        "ffn_down": f"layer.{at}.DenseReluDense.wo",
    }


T5_STACKS = {
    "enc": ("encoder", _T5_ATTENTION | _t5_mlp(1)),
    "dec": ("decoder", _T5_ATTENTION | _T5_CROSS | _t5_mlp(2)),
}
FAMILIES["t5"] = Family(
    "t5",
    {},
    {
        "context_length": "n_positions",
        "block_count": "num_layers",
        "feed_forward_length": "d_ff",
        "embedding_length": "d_model",
        "attention.key_length": "d_kv",
        "attention.head_count": "num_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.layer_norm_epsilon": "layer_norm_epsilon",
        "attention.relative_buckets_count": "relative_attention_num_buckets",
        "decoder_start_token_id": "decoder_start_token_id",
        "vocab_size": "vocab_size",
    },
    {
        "token_embd": "shared",
        "output": "lm_head",
        "enc.output_norm": "encoder.final_layer_norm",
        "dec.output_norm": "decoder.final_layer_norm",
    },
)

TOKEN_IDS = {
    "tokenizer.ggml.bos_token_id": "bos_token_id",
    "tokenizer.ggml.eos_token_id": "eos_token_id",
    "tokenizer.ggml.unknown_token_id": "unk_token_id",
    "tokenizer.ggml.padding_token_id": "pad_token_id",
}
# These tie the output to the embedding even if the file has a copy of it.
ALWAYS_TIED = ("falcon", "bloom")
