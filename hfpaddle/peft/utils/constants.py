"""File names, and which modules each method adapts in each family when the user names none.

Source: the tables of peft 0.21.
"""

from __future__ import annotations

from typing import Any

WEIGHTS_NAME = "adapter_model.bin"
SAFETENSORS_WEIGHTS_NAME = "adapter_model.safetensors"
CONFIG_NAME = "adapter_config.json"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
EMBEDDING_LAYER_NAMES = ["embed_tokens", "lm_head"]
SEQ_CLS_HEAD_NAMES = ["score", "classifier"]
INCLUDE_LINEAR_LAYERS_SHORTHAND = "all-linear"
DUMMY_TARGET_MODULES = "dummy-target-modules"
DUMMY_MODEL_CONFIG = {"model_type": "custom"}
# From this many names on, `target_modules` is reduced to the shortest suffixes that say the same.
MIN_TARGET_MODULES_FOR_OPTIMIZATION = 20


def _table(text: str) -> dict[str, Any]:
    """Read lines ``type type ...: module module ...``."""
    table: dict[str, Any] = {}
    for line in text.strip().splitlines():
        types, _, modules = line.partition(":")
        table |= {name: modules.split() for name in types.split()}
    return table


TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING = _table("""
t5 mt5: q v
bart opt gptj gpt_neo llama llama4 mistral mixtral stablelm gemma gemma2: q_proj v_proj
gemma3_text qwen2 qwen3: q_proj v_proj
gpt2 gpt_bigcode: c_attn
bloom gpt_neox chatglm RefinedWebModel RefinedWeb falcon: query_key_value
blip-2: q v q_proj v_proj
bert roberta xlm-roberta electra layoutlm: query value
deberta-v2: query_proj value_proj
deberta: in_proj
mpt: Wqkv
btlm: c_proj c_attn
codegen: qkv_proj
phi: q_proj v_proj fc1 fc2
nemotron_h: q_proj k_proj v_proj o_proj
rwkv: key value receptance output
rwkv7: r_proj k_proj v_proj o_proj key value
""") | {"gemma4": r".*language_model\..*\.(q_proj|v_proj)"}
TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING = _table("""
t5: k v wo
mt5: k v wi_1
gpt2 gpt_bigcode: c_attn mlp.c_proj
bloom: query_key_value mlp.dense_4h_to_h
roberta bert: key value output.dense
opt: q_proj k_proj fc2
gptj: q_proj v_proj fc_out
gpt_neox RefinedWebModel RefinedWeb falcon: query_key_value dense_4h_to_h
gpt_neo: q_proj v_proj c_proj
bart phi: q_proj v_proj fc2
llama mistral: k_proj v_proj down_proj
llama4 gemma gemma2 gemma3_text qwen2 qwen3: q_proj v_proj down_proj
mixtral: k_proj v_proj w2
deberta-v2: key_proj value_proj output.dense
deberta: in_proj output.dense
""")
TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING = _table("""
t5: wo
mt5:
gpt2 gpt_bigcode: mlp.c_proj
bloom: mlp.dense_4h_to_h
roberta bert deberta-v2 deberta: output.dense
opt bart phi: fc2
gptj: fc_out
gpt_neox RefinedWeb RefinedWebModel falcon: dense_4h_to_h
gpt_neo: c_proj
llama llama4 mistral gemma gemma2 gemma3_text qwen2 qwen3: down_proj
mixtral: w2
""")
TRANSFORMERS_MODELS_TO_ADALORA_TARGET_MODULES_MAPPING = _table("""
t5: q k v o wi wo
mt5: q k v o wi_0 wi_1 wo
bart opt: q_proj k_proj v_proj out_proj fc1 fc2
gpt2 gpt_bigcode: c_attn
bloom gpt_neox: query_key_value
gptj gpt_neo llama llama4 gemma gemma2 gemma3_text qwen2 qwen3: q_proj v_proj
bert: query value
roberta: query key value dense
deberta-v2: query_proj key_proj value_proj dense
deberta: in_proj
nemotron_h: q_proj k_proj v_proj o_proj
""") | {"gemma4": r".*language_model\..*\.(q_proj|v_proj)"}
TRANSFORMERS_MODELS_TO_LNTUNING_TARGET_MODULES_MAPPING = _table("""
llama mistral gemma: input_layernorm post_attention_layernorm norm
bloom falcon: input_layernorm post_attention_layernorm ln_f
llava: multi_modal_projector input_layernorm post_attention_layernorm norm embed_tokens lm_head
t5 mt5: layer_norm final_layer_norm
bart: self_attn_layer_norm encoder_attn_layer_norm final_layer_norm
gpt2: ln_1 ln_2 ln_f
blip-2: layernorm LayerNorm final_layer_norm self_attn_layer_norm
gptj: ln_1 ln_f
phi: input_layernorm final_layernorm
qwen2 qwen3: post_attention_layernorm
""") | dict.fromkeys(
    ("gemma2", "gemma3_text"),
    "input_layernorm post_attention_layernorm pre_feedforward_layernorm "
    "post_feedforward_layernorm norm".split(),
)

# Those that adapt what LoRA adapts, but for a few families.
_LORA = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
TRANSFORMERS_MODELS_TO_BOFT_TARGET_MODULES_MAPPING = dict(_LORA)
TRANSFORMERS_MODELS_TO_FOURIERFT_TARGET_MODULES_MAPPING = dict(_LORA) | {
    "gpt_bigcode": ["mlp.c_proj"],
    "gpt2": ["mlp.c_proj"],
}
TRANSFORMERS_MODELS_TO_C3A_TARGET_MODULES_MAPPING = dict(
    TRANSFORMERS_MODELS_TO_FOURIERFT_TARGET_MODULES_MAPPING
)
TRANSFORMERS_MODELS_TO_HRA_TARGET_MODULES_MAPPING = dict(_LORA)
TRANSFORMERS_MODELS_TO_LOHA_TARGET_MODULES_MAPPING = dict(_LORA)
TRANSFORMERS_MODELS_TO_LOKR_TARGET_MODULES_MAPPING = dict(_LORA)
TRANSFORMERS_MODELS_TO_OFT_TARGET_MODULES_MAPPING = dict(_LORA)
TRANSFORMERS_MODELS_TO_VERA_TARGET_MODULES_MAPPING = dict(_LORA) | {"phi": ["q_proj", "v_proj"]}
TRANSFORMERS_MODELS_TO_VBLORA_TARGET_MODULES_MAPPING = {
    family: names
    for family, names in _LORA.items()
    if family in TRANSFORMERS_MODELS_TO_ADALORA_TARGET_MODULES_MAPPING
} | _table("""
t5: q k v o wi wo
mt5: q k v o wi_0 wi_1 wo
bart opt: q_proj k_proj v_proj out_proj fc1 fc2
deberta-v2: query_proj key_proj value_proj dense
""")
TRANSFORMERS_MODELS_TO_BEFT_TARGET_MODULES_MAPPING = _table("""
t5 mt5: v
roberta bert: value
opt gptj gpt_neo bart llama llama4 mistral mixtral phi gemma gemma2 gemma3_text qwen2 qwen3: v_proj
deberta-v2: value_proj
""")
TRANSFORMERS_MODELS_TO_PREFIX_TUNING_POSTPROCESS_MAPPING: dict[str, Any] = {}
for _method in ("DELORA", "GRALORA", "HIRA", "MISS", "ROAD"):
    globals()[f"TRANSFORMERS_MODELS_TO_{_method}_TARGET_MODULES_MAPPING"] = dict(_LORA)
TRANSFORMERS_MODELS_TO_SHIRA_TARGET_MODULES_MAPPING = dict(
    TRANSFORMERS_MODELS_TO_VERA_TARGET_MODULES_MAPPING
)
