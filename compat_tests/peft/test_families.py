"""In every family the same modules are linear, and the same ones are adapted by default."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
import transformers
from harness import TINY
from peft.tuners.tuners_utils import _maybe_include_all_linear_layers
from peft.tuners.tuners_utils import check_target_module_exists as their_check
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS

import hfpaddle.modeling.auto as ours_auto
import hfpaddle.peft as ours_peft
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.peft.tuners.matching import all_linear, check_target_module_exists

HEADS = {**TINY, "head_dim": 8}
EXPERTS = {**HEADS, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
OLD = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99}
SIZES: dict[str, dict[str, Any]] = {
    "bart": {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
        "vocab_size": 99,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99},
    "deepseek_v3": {
        **TINY, "num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 2, "topk_group": 1,
        "num_experts_per_tok": 2, "moe_intermediate_size": 16, "kv_lora_rank": 8,
        "q_lora_rank": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "qk_nope_head_dim": 8,
        "first_k_dense_replace": 1,
    },
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "vocab_size": 99},
    "ernie4_5_moe": {
        **TINY, "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16,
        "moe_layer_start_index": 1,
    },
    "gpt2": OLD,
    "gptj": {**OLD, "rotary_dim": 4},
    "mixtral": {**TINY, "num_local_experts": 4},
    "opt": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 48,
        "vocab_size": 99, "word_embed_proj_dim": 32, "pad_token_id": 0,
    },
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 24},
    "qwen3_moe": EXPERTS,
    "t5": {
        "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 99,
        "decoder_start_token_id": 0, "pad_token_id": 0,
    },
}  # fmt: skip
ENCODERS = "bert deberta-v2 distilbert electra ernie modernbert roberta xlm-roberta".split()
SEQUENCES = ("bart", "t5")
# Not vit: transformers 5 has other names for its modules than the Hub's files.
DECODERS = """
bloom cohere deepseek_v3 ernie4_5 ernie4_5_moe falcon gemma gemma2 gemma3_text glm glm4 gpt2
gpt_neox gptj granite llama mistral mixtral olmo2 opt phi phi3 qwen2 qwen2_moe qwen3 qwen3_moe
smollm3 stablelm starcoder2
""".split()
WITH_HEAD_DIM = ("gemma", "gemma2", "gemma3_text", "qwen3", "glm", "glm4", "ernie4_5")


def models(name: str) -> tuple[Any, Any, str | None]:
    auto, task = "AutoModelForCausalLM", None
    if name in ENCODERS:
        auto, task = "AutoModelForSequenceClassification", "SEQ_CLS"
    if name in SEQUENCES:
        auto = "AutoModelForSeq2SeqLM"
    sizes = SIZES.get(name, HEADS if name in WITH_HEAD_DIM else TINY)
    config = transformers.CONFIG_MAPPING[name](**sizes)
    with torch.device("meta"):
        theirs = getattr(transformers, auto).from_config(config)
    return getattr(ours_auto, auto).from_config(config), theirs, task


@pytest.mark.parametrize("name", [*DECODERS, *ENCODERS, *SEQUENCES])
def test_the_same_modules(name):
    ours, theirs, task = models(name)
    wanted = peft.LoraConfig(target_modules="all-linear", task_type=task)
    wanted = _maybe_include_all_linear_layers(wanted, theirs).target_modules
    assert all_linear(ours, task) == wanted
    if name in DEFAULTS:
        config = peft.LoraConfig(target_modules=DEFAULTS[name])
        their_names = {n for n, _ in theirs.named_modules() if n and their_check(config, n)}
        own = {n for n, _ in ours.named_sublayers() if check_target_module_exists(config, n)}
        assert own == their_names


@pytest.mark.parametrize("target", ["gate", "gate_proj"])
def test_parts_of_experts_are_refused(target):
    ours, _, _ = models("qwen3_moe")
    with pytest.raises(UnsupportedArgumentError, match="mixture of experts"):
        ours_peft.get_peft_model(ours, ours_peft.LoraConfig(target_modules=[target]))
