"""Each field of each config acts as in peft, or is refused: nothing is accepted and forgotten.

Every field is set to a value that is not its default, on the same tiny model in both libraries.
Parameters, what is trained, and logits in training must then agree, or hfpaddle must raise an error
of its own that names the field. A field without a value to try fails the test.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings

import numpy as np
import paddle
import peft
import pytest
import torch
import transformers
from adapter_pairs import family, inputs
from harness import load_ours, original

import hfpaddle.peft as ours_peft
from hfpaddle.core import rng
from hfpaddle.core.errors import MissingFeatureError, UnsupportedArgumentError

KINDS = sorted(kind.value for kind in ours_peft.PEFT_TYPE_TO_TUNER_MAPPING)
NEEDED = {
    "ADALORA": {"total_step": 100},
    "BOFT": {"boft_block_size": 4},
    "C3A": {"block_size": 8, "layers_to_transform": [1]},
    "FOURIERFT": {"n_frequency": 30},
    "GRALORA": {"alpha": 8, "r": 4},
    "MISS": {"r": 8},
    "OFT": {"oft_block_size": 8},
    "PREFIX_TUNING": {"num_virtual_tokens": 3},
    "PROMPT_TUNING": {"num_virtual_tokens": 3},
    "P_TUNING": {"num_virtual_tokens": 3, "encoder_hidden_size": 12},
    "ROAD": {"group_size": 8},
    "SHIRA": {"r": 2},
    "TRAINABLE_TOKENS": {"token_indices": [3, 5]},
    "VBLORA": {"num_vectors": 12, "vector_length": 8},
    "VERA": {"r": 6},
}
LAYERS = {"layers_to_transform": [1], "target_modules": ["q_proj", "v_proj"]}
# Field -> what to set, it and what it needs; by method where one differs.
TRIED = {
    **{"task_type": None, "peft_type": "OTHER", "auto_mapping": {"a": "b"}, "revision": "main"},
    **{"peft_version": "0.10", "base_model_name_or_path": "other", "inference_mode": True},
    **{"modules_to_save": ["lm_head"], "target_modules": ["k_proj"], "r": 2, "bias": "all"},
    **{"exclude_modules": ["layers.0.self_attn.q_proj"], "layers_to_transform": [0]},
    **{"layers_pattern": {"layers_pattern": "layers", **LAYERS}, "fan_in_fan_out": True},
    **{"init_weights": False, "rank_pattern": {"q_proj": 1}, "alpha_pattern": {"q_proj": 3}},
    **{"module_dropout": 0.5, "alpha": 3, "lora_alpha": 3, "lora_dropout": 0.5, "use_dora": True},
    **{"num_virtual_tokens": 5, "token_dim": 32, "num_transformer_submodules": 1},
    **{"num_attention_heads": 2, "num_layers": 2, "use_rslora": True, "lora_bias": True},
    **{"init_lora_weights": "gaussian", "megatron_config": {"a": 1}, "megatron_core": "other"},
    **{"trainable_token_indices": [3, 5], "loftq_config": {"loftq_bits": 4}},
    **{"velora_config": {}, "alora_invocation_tokens": [3], "use_qalora": True},
    **{"qalora_group_size": 8, "monteclora_config": {}, "layer_replication": [[0, 2], [0, 1]]},
    **{"target_parameters": ["mlp.up_proj.weight"], "use_bdlora": {"nblocks": 2}},
    **{"arrow_config": {}, "kasa_config": {}, "ensure_weight_tying": True, "rank_dropout": 0.5},
    "eva_config": {"init_lora_weights": "eva", "eva_config": {}},
    "corda_config": {"init_lora_weights": "corda", "corda_config": {}},
    "lora_ga_config": {"init_lora_weights": "lora_ga", "lora_ga_config": {}},
    "runtime_config": {"runtime_config": {"ephemeral_gpu_offload": True}},
    **{"use_effective_conv2d": True, "encoder_hidden_size": 8, "target_r": 4, "init_r": 4},
    "prompt_tuning_init": "SAMPLE_VOCAB",
    "prompt_tuning_init_text": {"prompt_tuning_init": "TEXT"},
    "tokenizer_name_or_path": {"tokenizer_name_or_path": "none"},
    "tokenizer_kwargs": {"tokenizer_kwargs": {"a": 1}},
    **{"tinit": 10, "tfinal": 10, "deltaT": 2, "beta1": 0.5, "beta2": 0.5, "orth_reg_weight": 0.1},
    **{"total_step": 50, "boft_block_size": 8, "boft_n_butterfly_factor": 2, "boft_dropout": 0.5},
    "boft_block_num": {"boft_block_num": 4, "boft_block_size": 0},
    **{"block_size": 4, "block_size_pattern": {"block_size_pattern": {"q_proj": 4}}},
    **{"delora_lambda": 3, "lambda_pattern": {"q_proj": 3}, "n_frequency": 20, "scaling": 30.0},
    **{"random_loc_seed": 5, "n_frequency_pattern": {"n_frequency_pattern": {"q_proj": 10}}},
    **{"hybrid_r": 2, "gralora_dropout": 0.5, "gralora_k": 4, "hira_dropout": 0.5},
    "apply_GS": {"apply_GS": True, "init_weights": False},
    "feedforward_modules": {"feedforward_modules": ["q_proj"], "target_modules": ["q_proj"]},
    **{"init_ia3_weights": False, "decompose_both": {"decompose_both": True, "r": 1}},
    "rank_dropout_scale": {"rank_dropout_scale": True, "rank_dropout": 0.5},
    **{"decompose_factor": 4, "miss_dropout": 0.5},
    "mini_r": {"mini_r": 8, "init_weights": "mini"},
    **{"oft_block_size": 4, "coft": True, "eps": {"eps": 0.1, "coft": True}, "block_share": True},
    **{"use_cayley_neumann": False, "num_cayley_neumann_terms": 3},
    **{"encoder_reparameterization_type": "LSTM", "encoder_num_layers": 3, "encoder_dropout": 0.5},
    **{"prefix_projection": {"prefix_projection": True, "encoder_hidden_size": 12}},
    **{"variant": "road_2", "group_size": 4, "random_seed": 3, "token_indices": [4]},
    "mask_type": {"mask_type": "own"},
    **{"num_vectors": 8, "vector_length": 4, "topk": 3, "save_only_topk_weights": True},
    **{"vblora_dropout": 0.5, "init_vector_bank_bound": 0.1, "init_logits_std": 0.5},
    **{"projection_prng_key": 3, "save_projection": False, "vera_dropout": 0.5, "d_initial": 0.3},
}
SPECIAL = {
    ("C3A", "init_weights"): {"init_weights": "gaussian"},
    ("BOFT", "fan_in_fan_out"): {"fan_in_fan_out": False},
    ("MISS", "init_weights"): {"init_weights": "mini"},
    ("OFT", "r"): {"r": 8, "oft_block_size": 0},
    ("GRALORA", "r"): {"r": 8},
    ("PREFIX_TUNING", "init_weights"): {"prefix_projection": True, "init_weights": "zero"},
    ("ADALORA", "layer_replication"): {"layer_replication": [[0, 2], [0, 1]]},
    ("LNTUNING", "target_modules"): {"target_modules": ["norm"]},
    ("LN_TUNING", "target_modules"): {"target_modules": ["norm"]},
    ("LN_TUNING", "exclude_modules"): {"exclude_modules": ["norm"]},
    ("TRAINABLE_TOKENS", "target_modules"): {"target_modules": ["embed_tokens"]},
}
# Masks of these are drawn from Paddle's stream, so that recomputation repeats them.
OTHER_STREAM = {"rank_dropout", "rank_dropout_scale", "module_dropout", "boft_dropout"}
# Settings that raise here; each error names the field.
REFUSED = {
    "megatron_config", "velora_config", "alora_invocation_tokens", "use_qalora", "use_bdlora",
    "monteclora_config", "target_parameters", "arrow_config", "kasa_config", "eva_config",
    "corda_config", "lora_ga_config", "boft_n_butterfly_factor", "mask_type",
}  # fmt: skip
# What all configs have does the same in all; it is tried with LoRA.
SHARED = {field.name for field in dataclasses.fields(ours_peft.PeftConfig)} - {"inference_mode"}
CASES = [
    (kind, field.name)
    for kind in KINDS
    for field in dataclasses.fields(ours_peft.PEFT_TYPE_TO_CONFIG_MAPPING[kind])
    if kind == "LORA" or field.name not in SHARED
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    auto, config, _ = family("llama")
    original(auto, config, folder)
    return getattr(transformers, auto).from_pretrained(folder), load_ours(auto, folder)


def settings(kind, field):
    """Keywords of the config in which ``field`` is not what it is by default."""
    tried = SPECIAL.get((kind, field), TRIED[field])
    tried = (
        tried if isinstance(tried, dict) and field in TRIED and _whole(tried) else {field: tried}
    )
    return {"task_type": "CAUSAL_LM", **NEEDED.get(kind, {}), **tried}


def _whole(tried):
    """Whether a dictionary is of keywords, and not one field's value."""
    return bool(tried) and all(name in TRIED for name in tried)


def theirs_of(kind, kwargs, base):
    model = copy.deepcopy(base[0])
    torch.manual_seed(7)
    config = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(kind)]
    model = peft.get_peft_model(model, config(**nested(kwargs, peft))).train()
    torch.manual_seed(9)
    batch = {k: torch.from_numpy(v) for k, v in inputs("llama").items()}
    logits = model(**batch).logits.detach().numpy()
    params = {n: (p.detach().numpy(), p.requires_grad) for n, p in model.named_parameters()}
    return params, logits


def ours_of(kind, kwargs, base):
    model = copy.deepcopy(base[1])
    rng.manual_seed(7)
    config = ours_peft.PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    model = ours_peft.get_peft_model(model, config(**nested(kwargs, ours_peft))).train()
    rng.manual_seed(9)
    batch = {k: paddle.to_tensor(v) for k, v in inputs("llama").items()}
    logits = model(**batch).logits.numpy()
    params = {n: (p.numpy(), not p.stop_gradient) for n, p in model.named_parameters()}
    return params, logits


def nested(kwargs, library):
    """Nested configs as their own classes."""
    lora = __import__(f"{library.__name__}.tuners.lora.config", fromlist=["config"])
    names = {
        "velora_config": "VeloraConfig", "kasa_config": "KasaConfig", "eva_config": "EvaConfig",
        "corda_config": "CordaConfig", "lora_ga_config": "LoraGAConfig",
        "arrow_config": "ArrowConfig", "use_bdlora": "BdLoraConfig",
        "monteclora_config": "MontecloraConfig", "runtime_config": "LoraRuntimeConfig",
    }  # fmt: skip
    made = {k: getattr(lora, names[k])(**v) for k, v in kwargs.items() if k in names}
    return {**kwargs, **made}


@pytest.mark.parametrize("kind, field", CASES)
def test_field(kind, field, base):
    if (kind, field) == ("ADALORA", "inference_mode"):
        pytest.skip("peft raises AttributeError: a frozen AdaLoRA adapter gives it no loss")
    kwargs = settings(kind, field)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            params, logits = ours_of(kind, kwargs, base)
        except (UnsupportedArgumentError, MissingFeatureError) as error:
            assert field in REFUSED
            assert field in str(error) or field.split("_")[0] in str(error)
            return
        except Exception as error:
            with pytest.raises(type(error)):
                theirs_of(kind, kwargs, base)
            return
        wanted, their_logits = theirs_of(kind, kwargs, base)
    assert sorted(p.shape for p, _ in params.values()) == sorted(
        p.shape for p, _ in wanted.values()
    )
    if "TUNING" not in kind or kind == "LN_TUNING":
        assert params.keys() == wanted.keys()
        for name, (value, trained) in wanted.items():
            np.testing.assert_allclose(params[name][0], value, atol=1e-5, err_msg=name)
            assert params[name][1] is trained, name
    if field not in OTHER_STREAM:
        np.testing.assert_allclose(logits, their_logits, rtol=1e-4, atol=2e-5)


def test_every_refusal_is_tried():
    assert {field for _, field in CASES} >= REFUSED
