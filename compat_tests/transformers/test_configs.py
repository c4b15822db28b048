"""Both generations of config.json, every kind of RoPE, and the keys that raise."""

import json

import numpy as np
import paddle
import pytest
import torch
import transformers
from folders import copy_of, edit_config, make, scores
from harness import TINY, batch

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.modeling.auto import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM
from hfpaddle.models.llama import LlamaForCausalLM, LlamaModel
from hfpaddle.transformers import AutoConfig

load = AutoModelForCausalLM.from_pretrained
upstream = transformers.AutoModelForCausalLM.from_pretrained
LONG = {"long_factor": [1.5, 2.0, 3.0, 4.0], "short_factor": [1.0, 1.1, 1.2, 1.3]}
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
ORIGINAL = {"original_max_position_embeddings": 8}
# The keys of a scaling; eleven tokens are more than 8 and fewer than the 16 of the config.
ROPE = {
    "default": {},
    "linear": {"factor": 3.0},
    "dynamic": {"factor": 2.0},
    "dynamic, longer than trained": {"factor": 2.0, "max": 8},
    "yarn": {"factor": 4.0, **ORIGINAL},
    "yarn, all keys": {
        "factor": 4.0, **ORIGINAL, "beta_fast": 16, "beta_slow": 2, "mscale": 0.7,
        "mscale_all_dim": 0.9, "truncate": False,
    },
    "yarn, attention factor": {"factor": 4.0, **ORIGINAL, "attention_factor": 1.7},
    "yarn, one key": {"factor": 4.0},
    "llama3": {"factor": 8.0, **LLAMA3, **ORIGINAL},
    "longrope": {**LONG, **ORIGINAL, "factor": 4.0},
    "longrope, no factor": {**LONG, **ORIGINAL},
    "longrope, attention factor": {**LONG, **ORIGINAL, "factor": 4.0, "attention_factor": 1.3},
    "longrope, short": {**LONG, "original_max_position_embeddings": 12, "factor": 4.0},
}  # fmt: skip


def check(folder):
    """Logits with and without padding, and with positions of the caller's."""
    theirs, ours = upstream(folder), load(folder)
    np.testing.assert_allclose(scores(ours), scores(theirs), atol=1e-4)
    ids = batch()[0][1:]
    positions = np.arange(3, 14)[None]
    with torch.no_grad():
        want = theirs(torch.tensor(ids), position_ids=torch.tensor(positions)).logits.numpy()
    got = ours(paddle.to_tensor(ids), position_ids=paddle.to_tensor(positions)).logits.numpy()
    np.testing.assert_allclose(got, want, atol=1e-4)
    tokens = ours.generate(paddle.to_tensor(ids), max_new_tokens=8, do_sample=False).tolist()
    wanted = theirs.generate(torch.tensor(ids), max_new_tokens=8, do_sample=False).tolist()
    assert tokens == wanted
    return ours


@pytest.mark.parametrize("spelling", ["v5", "v4 type", "v4 rope_type", "v4 both"])
@pytest.mark.parametrize("case", ROPE)
def test_rope(llama, tmp_path, case, spelling):
    folder = copy_of(llama[0], tmp_path / "x")
    keys = dict(ROPE[case])
    kind, theta = case.split(",")[0], 100.0
    edit_config(folder, max_position_embeddings=keys.pop("max", 16))
    if spelling == "v5":
        edit_config(folder, rope_parameters={"rope_type": kind, "rope_theta": theta, **keys})
    else:
        scaling = {"rope_type": kind, **keys}
        if spelling == "v4 type":
            scaling = {"type": kind, **keys}
        elif spelling == "v4 both":
            scaling["type"] = kind
        scaling = None if kind == "default" else scaling
        edit_config(
            folder, rope_parameters=None, rope_theta=theta, rope_scaling=scaling, dtype=None,
            torch_dtype="float32", transformers_version="4.40.0",
        )  # fmt: skip
    ours = check(folder)
    assert ours.model.rotary["full_attention"].rope_type == kind
    ours.save_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(scores(upstream(tmp_path / "saved")), scores(upstream(folder)))


def test_rope_theta_alone(llama, tmp_path):
    """The oldest configs have neither key: upstream's default base."""
    for i, theta in enumerate((None, 500000.0)):
        folder = copy_of(llama[0], tmp_path / str(i))
        edit_config(folder, rope_parameters=None, rope_theta=theta, rope_scaling=None)
        check(folder)


OLD = {
    "gpt_neox": {"rotary_pct": 0.5, "rotary_emb_base": 500},
    "gpt_neox scaled": {"rotary_pct": 0.5, "rope_scaling": {"type": "linear", "factor": 2.0}},
    "phi": {"partial_rotary_factor": 0.75, "rope_theta": 300.0},
    "phi scaled": {"partial_rotary_factor": 0.5, "rope_scaling": {"type": "linear", "factor": 2.0}},
    "phi3 longrope": {
        "rope_scaling": {"type": "longrope", **LONG}, "original_max_position_embeddings": 8,
        "max_position_embeddings": 32,
    },
    "gemma3_text": {
        "rope_theta": 900.0, "rope_local_base_freq": 50.0, "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention"], "head_dim": 8,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "mistral": {"sliding_window": 4, "rope_theta": 900.0},
    "glm": {"partial_rotary_factor": 0.5, "rope_theta": 700.0, "head_dim": 8},
}  # fmt: skip


@pytest.mark.parametrize("case", OLD)
def test_old_spellings(tmp_path, case):
    """Families whose configs of transformers 4 kept RoPE elsewhere."""
    fields = dict(OLD[case])
    make(tmp_path, case.split()[0], **{k: v for k, v in fields.items() if "rope" not in k})
    old = {"rope_parameters": None, "dtype": None, "torch_dtype": "float32"}
    edit_config(tmp_path, **old, **fields)
    check(tmp_path)


def test_names_of_dtype(llama, tmp_path):
    for i, fields in enumerate(
        ({"torch_dtype": "float16", "dtype": None}, {"torch_dtype": None, "dtype": "float16"})
    ):
        folder = edit_config(copy_of(llama[0], tmp_path / str(i)), **fields)
        assert (
            load(folder).dtype == paddle.float16 and str(upstream(folder).dtype) == "torch.float16"
        )


# Keys that nobody implements

NEUTRAL = {
    "use_cache": False, "pretraining_tp": 4, "initializer_range": 0.5, "architectures": ["X"],
    "bos_token_id": 7, "eos_token_id": [2, 3], "pad_token_id": 3, "torch_dtype": "float32",
    "id2label": {"0": "a", "1": "b", "2": "c"}, "task_specific_params": {"a": 1},
    "transformers_version": "4.0", "auto_map": {"AutoModel": "x.Y"}, "my_own_key": {"any": [1]},
    "problem_type": "regression", "output_hidden_states": True, "return_dict": True,
    "_attn_implementation": "eager", "unsloth_fixed": True, "max_position_embeddings": 77,
    "chunk_size_feed_forward": 0, "tokenizer_class": "X", "attention_dropout": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("key", NEUTRAL)
def test_neutral_keys(llama, tmp_path, key):
    folder = edit_config(copy_of(llama[0], tmp_path / "x"), **{key: NEUTRAL[key]})
    np.testing.assert_allclose(scores(load(folder)), scores(upstream(folder)), atol=1e-4)


READ = {"rms_norm_eps": 0.1, "hidden_act": "relu", "rope_parameters": {"rope_theta": 3.0}}


@pytest.mark.parametrize("key", READ)
def test_keys_that_count(llama, tmp_path, key):
    folder = edit_config(copy_of(llama[0], tmp_path / "x"), **{key: READ[key]})
    got, want = scores(load(folder)), scores(upstream(folder))
    np.testing.assert_allclose(got, want, atol=1e-4)
    assert np.abs(want - scores(llama[1])).max() > 1e-3


REFUSED = {
    "rope": ("llama", {"rope_parameters": {"rope_type": "spiral", "rope_theta": 3.0}}, "spiral"),
    "act": ("llama", {"hidden_act": "no_such"}, "no_such"),
    "cross": ("gpt2", {"add_cross_attention": True}, "add_cross_attention"),
    "cross-attention": ("bert", {"is_decoder": True, "add_cross_attention": True}, "cross"),
    "positions": ("bert", {"position_embedding_type": "relative_key"}, "relative_key"),
}


def test_config_that_upstream_refuses(llama, tmp_path):
    scaling = {"rope_type": "linear"}
    folder = copy_of(llama[0], tmp_path / "x")
    edit_config(folder, rope_parameters=None, rope_theta=3.0, rope_scaling=scaling)
    with pytest.raises(KeyError, match="factor"):
        upstream(folder)
    with pytest.raises(UnsupportedConfigError, match="factor"):
        load(folder)


@pytest.mark.parametrize("case", REFUSED)
def test_refused_values(request, tmp_path, case):
    family, fields, said = REFUSED[case]
    folder = copy_of(request.getfixturevalue(family)[0], tmp_path / "x")
    edit_config(folder, **fields)
    auto = AutoModelForMaskedLM if family == "bert" else AutoModelForCausalLM
    with pytest.raises(UnsupportedConfigError, match=said):
        auto.from_pretrained(folder)


class Unread(transformers.LlamaConfig):
    """A config with fields that Llama's model does not know."""

    new_factor: float = 1.0
    new_list: list | None = None
    new_switch: bool = False


def test_unread_keys_are_named():
    """Each that matters; not one that has its default, none, or belongs to something else."""
    LlamaForCausalLM(Unread(**TINY))
    LlamaForCausalLM(Unread(**TINY, new_list=None))
    with pytest.raises(UnsupportedConfigError) as raised:
        LlamaForCausalLM(Unread(**TINY, new_factor=2.0, new_list=[1]))
    text = str(raised.value)
    assert "new_factor = 2.0 (works: 1.0)" in text and "new_list = [1] (works: None)" in text
    assert "new_switch" not in text and "llama" in text
    with pytest.raises(UnsupportedConfigError, match="new_switch"):
        LlamaModel(Unread(**TINY, new_switch=True))


def test_reading_leaves_the_config_as_it_was():
    config = transformers.LlamaConfig(**TINY)
    before, kind = config.to_dict(), type(config)
    model = LlamaForCausalLM(config)
    assert model.config is config and type(config) is kind and config.to_dict() == before
    broken = transformers.LlamaConfig(**TINY, hidden_act="no_such")
    with pytest.raises(UnsupportedConfigError):
        LlamaForCausalLM(broken)
    assert type(broken) is kind


def test_auto_config(llama, tmp_path):
    """The object upstream gives, overrides and unused keywords too."""
    got = AutoConfig.from_pretrained(llama[0], use_cache=False)
    want = transformers.AutoConfig.from_pretrained(llama[0], use_cache=False)
    assert type(got) is type(want) and got.to_dict() == want.to_dict()
    got = AutoConfig.from_pretrained(llama[0], return_unused_kwargs=True, use_cache=False, no=1)
    assert got[0].use_cache is False and got[1] == {"no": 1}
    made = AutoConfig.for_model("llama", hidden_size=64)
    assert type(made) is transformers.LlamaConfig and made.hidden_size == 64
    made.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(str(tmp_path)).hidden_size == 64
    assert AutoConfig.from_pretrained(tmp_path / "config.json").hidden_size == 64
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "llama"
    assert AutoModel.from_config(AutoConfig.for_model("llama", **TINY)).config.vocab_size == 99
