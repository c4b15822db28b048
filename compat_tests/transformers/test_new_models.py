"""New weights: each family and head has, from the same seed, the values that torch draws.

So do the parts that a checkpoint lacks, and the rows that a table gains.
"""

import copy

import numpy as np
import paddle
import pytest
import torch
import transformers
from harness import TINY
from harness_vision import vision_config
from safetensors.numpy import load_file

import hfpaddle.modeling.auto as ours_auto
from hfpaddle.core import rng
from hfpaddle.layers.moe import Experts
from hfpaddle.layers.parameter import empty_parameters
from hfpaddle.modeling import registry
from hfpaddle.models.mixtral import MixtralForCausalLM

# Odd sizes: torch draws in blocks of 16, and the last one twice where it is not whole.
SIZES = {**TINY, "hidden_size": 40, "vocab_size": 101, "intermediate_size": 45, "num_labels": 3}
EXPERTS = {
    **{"num_local_experts": 5, "num_experts": 5, "num_experts_per_tok": 2},
    "moe_intermediate_size": 21,
}
FIELDS = {
    "bart": {
        **{"d_model": 40, "encoder_layers": 2, "decoder_layers": 2},
        **{"encoder_attention_heads": 4, "decoder_attention_heads": 4},
        **{"encoder_ffn_dim": 45, "decoder_ffn_dim": 41},
    },
    "bloom": {"n_head": 4, "n_layer": 2},
    "deepseek_v3": {
        **{"num_hidden_layers": 3, "first_k_dense_replace": 1, "num_key_value_heads": 4},
        **{"q_lora_rank": 14, "kv_lora_rank": 10, "v_head_dim": 7},
        **{"qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "moe_intermediate_size": 21},
        **{"n_routed_experts": 8, "num_experts_per_tok": 3, "n_group": 4, "topk_group": 2},
    },
    "distilbert": {"dim": 40, "hidden_dim": 45, "n_layers": 2, "n_heads": 4},
    "electra": {"embedding_size": 17},
    "ernie": {"use_task_id": True},
    "ernie4_5_moe": {
        **{"num_hidden_layers": 3, "moe_num_experts": 6, "moe_k": 2},
        **{"moe_num_shared_experts": 2, "moe_intermediate_size": 21},
    },
    "gptj": {"rotary_dim": 4},
    "mixtral": EXPERTS,
    "modernbert": {
        **{"cls_token_id": 1, "sep_token_id": 2, "num_hidden_layers": 4, "local_attention": 6},
    },
    "opt": {"ffn_dim": 45, "word_embed_proj_dim": 24},
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 39},
    "qwen3_moe": {**EXPERTS, "head_dim": 8},
    "t5": {
        **{"d_model": 40, "d_kv": 6, "d_ff": 45, "num_layers": 2, "num_heads": 4},
        "relative_attention_num_buckets": 7,
    },
}
# Fields that add, drop or move a parameter, or choose another way to draw.
VARIANTS = [
    ("bart", {"scale_embedding": True, "decoder_layers": 1}),
    ("cohere", {"use_qk_norm": True, "attention_bias": True}),
    ("deberta-v2", {"relative_attention": True, "position_buckets": 4, "pos_att_type": "p2c|c2p",
                    "norm_rel_ebd": "layer_norm", "conv_kernel_size": 3, "conv_act": "gelu"}),
    ("deberta-v2", {"relative_attention": True, "max_relative_positions": 6, "type_vocab_size": 2,
                    "share_att_key": False, "position_biased_input": False,
                    "pos_att_type": ["p2c"]}),
    ("deepseek_v3", {"q_lora_rank": None, "first_k_dense_replace": 0, "attention_bias": True,
                     "n_shared_experts": 2, "moe_intermediate_size": 16}),
    ("distilbert", {"sinusoidal_pos_embds": True}),
    ("electra", {"embedding_size": 40}),
    ("electra", {"summary_use_proj": False}),
    ("ernie4_5_moe", {"use_bias": True, "moe_num_shared_experts": 0}),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "ffn_hidden_size": 45}),
    ("falcon", {"parallel_attn": False, "multi_query": False, "bias": True, "alibi": True}),
    ("gpt2", {"n_inner": 41}),
    ("gpt_neox", {"use_parallel_residual": False, "attention_bias": False}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "initializer_range": 0.5}),
    ("mixtral", {"intermediate_size": 48}),
    ("modernbert", {"attention_bias": True, "mlp_bias": True, "norm_bias": True,
                    "classifier_bias": True, "decoder_bias": False}),
    ("modernbert", {"initializer_cutoff_factor": 1.5, "initializer_range": 0.3}),
    ("opt", {"do_layer_norm_before": False, "word_embed_proj_dim": 40, "enable_bias": False}),
    ("opt", {"layer_norm_elementwise_affine": False, "_remove_final_layer_norm": True}),
    ("phi", {"qk_layernorm": True}),
    ("qwen2_moe", {"mlp_only_layers": [0], "qkv_bias": False}),
    ("qwen3_moe", {"decoder_sparse_step": 2, "attention_bias": True}),
    ("stablelm", {"use_qkv_bias": True, "qk_layernorm": True}),
    ("t5", {"feed_forward_proj": "gated-gelu", "num_decoder_layers": 1}),
    ("t5", {"initializer_factor": 0.3}),
    ("vit", {"pooler_output_size": 7, "qkv_bias": False, "num_channels": 1,
             "image_size": [12, 20]}),
]  # fmt: skip


def spelled(family):
    """The spelling that configs use: with a dash where the original has one."""
    known = transformers.CONFIG_MAPPING
    return family if family in known else family.replace("_", "-")


FAMILIES = [
    spelled(family)
    for family in registry.families()
    if spelled(family) in transformers.CONFIG_MAPPING  # chatglm has no original
]
HEADS = [
    (family, auto)
    for family in FAMILIES
    for auto in registry.AUTO_TABLES
    if registry.class_name(auto, family)
]


def tiny(family, **overrides):
    if family == "vit":
        return vision_config("vit", **{"num_labels": 3, **overrides})
    fields = {**SIZES, **FIELDS.get(family, {}), **overrides}
    return transformers.AutoConfig.for_model(family, **fields)


def both(act, seed=11):
    """Return what ``act`` gives for the original's library and for ours, from the same seed."""
    torch.manual_seed(seed)
    theirs = act(transformers)
    rng.manual_seed(seed)
    return theirs, act(ours_auto)


def same_files(theirs, ours, folder):
    """Assert that both save the same tensors: experts are joined in the original's memory."""
    theirs.save_pretrained(folder / "theirs")
    ours.save_pretrained(folder / "ours")
    want, got = (tensors(folder / side) for side in ("theirs", "ours"))
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        np.testing.assert_array_equal(got[name], tensor, name)


def tensors(folder):
    """Read what a model saved; GPT-NeoX's projection has two names in the original's files."""
    found = load_file(folder / "model.safetensors")
    return {name.replace("embed_out", "lm_head"): tensor for name, tensor in found.items()}


def same_stream():
    """Assert that whatever is drawn next is the same too."""
    assert np.array_equal(rng.default_generator.uniform([5]), torch.rand(5).numpy())


def check_new(auto, config, folder):
    theirs, ours = both(lambda side: getattr(side, auto).from_config(copy.deepcopy(config)))
    same_stream()
    same_files(theirs, ours, folder)


def labels_for(auto):
    return {"num_labels": 2} if auto == "AutoModelForQuestionAnswering" else {}


@pytest.mark.parametrize(("family", "auto"), HEADS)
def test_new_model(family, auto, tmp_path):
    for tied in (True, False):
        config = tiny(family, tie_word_embeddings=tied, **labels_for(auto))
        check_new(auto, config, tmp_path / str(tied))


@pytest.mark.parametrize(("family", "fields"), VARIANTS)
def test_new_variant(family, fields, tmp_path):
    for number, (_, auto) in enumerate(pair for pair in HEADS if pair[0] == family):
        config = tiny(family, **fields, **labels_for(auto))
        check_new(auto, config, tmp_path / str(number))


@pytest.mark.parametrize(("family", "auto"), HEADS)
def test_new_head_of_a_checkpoint(family, auto, tmp_path):
    """A head that the checkpoint lacks has the values that torch's seed gives it."""
    config = tiny(family, **labels_for(auto))
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "backbone")
    load = {"num_labels": config.num_labels}
    theirs, ours = both(
        lambda side: getattr(side, auto).from_pretrained(tmp_path / "backbone", **load)
    )
    same_files(theirs, ours, tmp_path)


MISMATCHED = [family for family in FAMILIES if family != "vit"]


@pytest.mark.parametrize("family", MISMATCHED)
def test_mismatched_sizes(family, tmp_path):
    """Tables of another size than the checkpoint's are drawn anew."""
    auto = next(a for f, a in HEADS if f == family and a != "AutoModel")
    model = getattr(transformers, auto).from_config(tiny(family))
    model.save_pretrained(tmp_path / "small")
    arguments = {"vocab_size": 120, "ignore_mismatched_sizes": True}
    theirs, ours = both(
        lambda side: getattr(side, auto).from_pretrained(tmp_path / "small", **arguments)
    )
    same_files(theirs, ours, tmp_path)


@pytest.mark.parametrize("family", MISMATCHED)
@pytest.mark.parametrize("mean", [True, False])
def test_resized_tables(family, mean, tmp_path):
    auto = next(a for f, a in HEADS if f == family and a != "AutoModel")
    models = both(lambda side: getattr(side, auto).from_config(tiny(family)))
    for model, seed in zip(models, (torch.manual_seed, rng.manual_seed), strict=True):
        seed(5)
        model.resize_token_embeddings(120, mean_resizing=mean)
    theirs, ours = models
    theirs.save_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    want, got = (tensors(tmp_path / side) for side in ("theirs", "ours"))
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        np.testing.assert_allclose(got[name], tensor, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("family", ["bart", "bert", "modernbert", "roberta"])
def test_new_head_of_a_half_checkpoint(family, tmp_path):
    model = transformers.AutoModel.from_config(tiny(family), dtype="bfloat16")
    model.save_pretrained(tmp_path / "backbone")
    arguments = {"num_labels": 3, "dtype": "bfloat16"}
    auto = "AutoModelForSequenceClassification"
    theirs, ours = both(
        lambda side: getattr(side, auto).from_pretrained(tmp_path / "backbone", **arguments)
    )
    same_stream()
    want = dict(theirs.named_parameters())
    for name, param in ours.named_parameters():
        got = param.astype("float32").numpy()
        np.testing.assert_array_equal(got, want[name].detach().float().numpy(), name)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["bart", "bert", "gpt2", "llama", "t5"])
def test_new_model_in_half(family, dtype, tmp_path):
    config = tiny(family)
    theirs, ours = both(lambda side: side.AutoModel.from_config(copy.deepcopy(config), dtype=dtype))
    same_stream()
    want = dict(theirs.named_parameters())
    assert any(param.numel() % 16 for param in want.values())
    for name, param in ours.named_parameters():
        assert str(want[name].dtype).endswith(dtype) and param.dtype.name.lower() == dtype
        got = param.astype("float32").numpy()
        np.testing.assert_array_equal(got, want[name].detach().float().numpy(), name)


@pytest.mark.parametrize("wrong", [-1, 101])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "t5"])
def test_ids_outside_the_table(family, wrong):
    theirs, ours = both(lambda side: side.AutoModel.from_config(tiny(family)))
    ids = [[5, wrong, 7]]
    inputs = {"decoder_input_ids": [[5]]} if family == "t5" else {}
    for model, tensor in ((theirs, torch.tensor), (ours, paddle.to_tensor)):
        with pytest.raises(IndexError, match="index out of range in self"):
            model(input_ids=tensor(ids), **{key: tensor(value) for key, value in inputs.items()})


def test_experts_that_a_checkpoint_lacks():
    """What is there stays; the others are dealt from the stack that all would be drawn from."""
    config = tiny("mixtral")
    rng.manual_seed(3)
    whole = MixtralForCausalLM(config).model.layers[0].block_sparse_moe.experts
    with empty_parameters():
        partial = Experts([copy.deepcopy(expert) for expert in whole])
        kept = partial[1].w3.weight.numpy().copy()
        for expert in partial:
            for name in ("w1", "w2"):
                layer = getattr(expert, name)
                fresh = type(layer)(layer.in_features, layer.out_features, bias=False)
                setattr(expert, name, fresh)
    rng.manual_seed(7)
    partial.draw_weights(0.02)
    rng.manual_seed(7)
    size = 5 * 2 * 45 * 40
    stack = rng.default_generator.normal([size], 0.0, 0.02).reshape([5, 2, 45, 40])
    for number, expert in enumerate(partial):
        np.testing.assert_array_equal(expert.w1.weight.numpy(), stack[number, 0])
    np.testing.assert_array_equal(partial[1].w3.weight.numpy(), kept)
