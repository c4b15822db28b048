"""LoRA equals peft's: names, seeded values, forward, gradients, files both ways, merged weights."""

from __future__ import annotations

import paddle
import peft
import pytest
import torch
from adapter_pairs import (
    adapter_pair,
    check_exchange,
    check_folders,
    check_initial,
    inputs,
    near,
    randomise,
)

import hfpaddle.peft as ours_peft
from hfpaddle.core import rng

FAMILIES = ("llama", "gpt2", "bert", "t5")


@pytest.mark.parametrize("name", FAMILIES)
def test_default_adapter(name, tmp_path):
    pair = adapter_pair(name, tmp_path / "base", randomised=False, r=4, lora_alpha=16)
    check_initial(pair)
    pair.check_forward()
    randomise(pair)
    pair.check_forward()
    pair.gradients()
    check_exchange(pair, tmp_path)


VARIANTS = {
    "rslora": {"use_rslora": True, "r": 4},
    "all-linear": {"target_modules": "all-linear", "r": 2},
    "regex": {"target_modules": r".*layers\.\d+\.mlp\.(up|down)_proj", "r": 3},
    "layers": {"target_modules": ["q_proj", "o_proj"], "layers_to_transform": [1], "r": 2},
    "pattern": {
        "target_modules": ["q_proj", "v_proj"], "layers_to_transform": 0,
        "layers_pattern": "layers", "r": 2,
    },
    "ranks": {
        "target_modules": ["q_proj", "v_proj"], "r": 2, "rank_pattern": {"v_proj": 5},
        "alpha_pattern": {r"^model\.layers\.0\.self_attn\.q_proj": 3},
    },
    "exclude": {"target_modules": "all-linear", "exclude_modules": ["down_proj"], "r": 2},
    "saved": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"], "r": 2},
    "bias": {"target_modules": ["q_proj"], "bias": "lora_only", "r": 2},
    "random": {"target_modules": ["q_proj"], "init_lora_weights": False, "r": 2},
    "gaussian": {"target_modules": ["q_proj"], "init_lora_weights": "gaussian", "r": 2},
    "orthogonal": {"target_modules": ["q_proj"], "init_lora_weights": "orthogonal", "r": 4},
    "dora": {"target_modules": ["q_proj", "down_proj"], "use_dora": True, "r": 4},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"], "r": 4},
    "dora-embedding": {"target_modules": ["embed_tokens"], "use_dora": True, "r": 4},
    "task-none": {"target_modules": ["q_proj"], "task_type": None, "r": 2},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant(variant, tmp_path):
    pair = adapter_pair("llama", tmp_path / "base", randomised=False, **VARIANTS[variant])
    check_initial(pair)
    randomise(pair)
    pair.check_forward()
    pair.gradients()
    check_exchange(pair, tmp_path)
    check_merging(pair)


def check_merging(pair):
    """Merged, unmerged and unloaded models answer alike."""
    before = pair.outputs()[0].logits
    pair.ours.merge_adapter(), pair.theirs.merge_adapter()
    pair.check_forward()
    pair.ours.unmerge_adapter(), pair.theirs.unmerge_adapter()
    near(before, torch.from_numpy(pair.outputs()[0].logits.numpy()), "unmerged")
    pair.ours, pair.theirs = pair.ours.merge_and_unload(), pair.theirs.merge_and_unload()
    pair.check_forward()
    assert pair.ours.state_dict().keys() == pair.theirs.state_dict().keys()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"bias": "all"},
        {"bias": "lora_only"},
        {"lora_bias": True},
        {"use_dora": True},
        {"target_modules": "all-linear"},
        {"target_modules": ["wte", "c_attn"]},
    ],
    ids=lambda kwargs: "-".join(str(v) for pair in kwargs.items() for v in pair),
)
def test_conv1d(kwargs, tmp_path):
    """GPT-2 stores its weights the other way around, and has biases."""
    pair = adapter_pair("gpt2", tmp_path / "base", randomised=False, r=4, **kwargs)
    check_initial(pair)
    randomise(pair)
    pair.check_forward()
    pair.gradients()
    check_exchange(pair, tmp_path)
    check_merging(pair)


@pytest.mark.parametrize("init", ["pissa", "pissa_niter_3", "olora"])
def test_initialisations_that_take_from_the_base(init, tmp_path):
    """Signs of singular vectors are free; what the factors make and leave behind is not."""
    kwargs = {"init_lora_weights": init, "target_modules": ["q_proj", "v_proj"], "r": 4}
    pair = adapter_pair("llama", tmp_path / "base", randomised=False, **kwargs)
    pair.check_forward()
    theirs = dict(pair.theirs.named_modules())
    layers = [m for m in pair.ours.sublayers() if isinstance(m, ours_peft.tuners.lora.Linear)]
    names = {id(m): n for n, m in pair.ours.named_sublayers()}
    assert len(layers) == 4
    for layer in layers:
        twin = theirs[names[id(layer)]]
        near(layer.get_delta_weight("default"), twin.get_delta_weight("default"), "delta", 1e-4)
        near(layer.weight, twin.weight, "what is left", 1e-4)


def test_conversion_to_plain_lora(tmp_path):
    """A trained PiSSA adapter becomes LoRA of twice the rank for the untouched base."""
    kwargs = {"init_lora_weights": "pissa", "target_modules": ["q_proj"], "r": 3}
    pair = adapter_pair("llama", tmp_path / "base", randomised=False, **kwargs)
    pair.ours.peft_config["default"].init_lora_weights = True
    pair.ours.save_pretrained(tmp_path / "began")
    pair.ours.peft_config["default"].init_lora_weights = "pissa"
    randomise(pair)
    wanted = pair.outputs()[0].logits.numpy()
    pair.ours.save_pretrained(
        tmp_path / "plain", path_initial_model_for_weight_conversion=str(tmp_path / "began")
    )
    fresh = adapter_pair("llama", tmp_path / "again", target_modules=["q_proj"])
    theirs = peft.PeftModel.from_pretrained(fresh.theirs.unload(), str(tmp_path / "plain"))
    assert theirs.peft_config["default"].r == 6
    fresh.theirs = theirs.eval()
    near(paddle.to_tensor(wanted), fresh.outputs()[1].logits, "converted", 1e-4)


def add_second(pair, name="other", **kwargs):
    task = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"], "r": 4, **kwargs}
    torch.manual_seed(3)
    pair.theirs.add_adapter(name, peft.LoraConfig(**task))
    rng.manual_seed(3)
    pair.ours.add_adapter(name, ours_peft.LoraConfig(**task))
    randomise(pair, name, seed=5)


def test_several_adapters(tmp_path):
    pair = adapter_pair("llama", tmp_path / "base", target_modules=["q_proj", "v_proj"], r=4)
    add_second(pair, r=2, target_modules=["v_proj", "down_proj"])
    check = lambda: (pair.check_forward(), status_alike(pair))  # noqa: E731
    check()
    for model in (pair.ours, pair.theirs):
        model.set_adapter("other")
    check()
    pair.gradients()
    for model in (pair.ours, pair.theirs):
        model.base_model.set_adapter(["default", "other"])
    check()
    with pair.ours.disable_adapter(), pair.theirs.disable_adapter():
        pair.check_forward()
    check()
    check_folders(pair, tmp_path)
    assert (tmp_path / "ours" / "other" / "adapter_model.safetensors").exists()
    for model in (pair.ours, pair.theirs):
        model.set_adapter("default")
        model.delete_adapter("other")
    check()
    for model in (pair.ours, pair.theirs):
        model.load_adapter(str(tmp_path / "theirs" / "other"), "back")
        model.set_adapter("back")
    check()


def status_alike(pair):
    ours, theirs = pair.ours.get_model_status(), pair.theirs.get_model_status()
    assert vars(ours) == vars(theirs)
    assert pair.ours.active_adapters == pair.theirs.active_adapters
    for mine, other in zip(
        pair.ours.get_layer_status(), pair.theirs.get_layer_status(), strict=True
    ):
        assert vars(mine) == vars(other)


def test_mixed_batch(tmp_path):
    pair = adapter_pair("llama", tmp_path / "base", target_modules=["q_proj", "embed_tokens"], r=4)
    add_second(pair, target_modules=["q_proj", "v_proj"])
    pair.ours.eval(), pair.theirs.eval()
    names = ["other", "__base__", "default"]
    batch = inputs("llama")
    ours = pair.ours(adapter_names=names, **{k: paddle.to_tensor(v) for k, v in batch.items()})
    with torch.no_grad():
        theirs = pair.theirs(
            adapter_names=names, **{k: torch.from_numpy(v) for k, v in batch.items()}
        )
    near(ours.logits, theirs.logits, "mixed batch")
    ids = batch["input_ids"][:, :5]
    more = {"max_new_tokens": 4, "do_sample": False, "adapter_names": names}
    for beams in (1, 2):
        tokens = pair.ours.generate(input_ids=paddle.to_tensor(ids), num_beams=beams, **more)
        wanted = pair.theirs.generate(input_ids=torch.from_numpy(ids), num_beams=beams, **more)
        assert tokens.numpy().tolist() == wanted.numpy().tolist()


COMBINATIONS = {
    "linear": {}, "svd": {}, "cat": {}, "ties": {"density": 0.5}, "ties_svd": {"density": 0.5},
    "dare_linear": {"density": 0.6}, "dare_ties": {"density": 0.6},
    "dare_linear_svd": {"density": 0.6}, "magnitude_prune": {"density": 0.4},
    "dare_ties_svd": {"density": 0.6, "majority_sign_method": "frequency"},
}  # fmt: skip


@pytest.mark.parametrize("kind", COMBINATIONS)
def test_weighted_adapter(kind, tmp_path):
    targets = {"target_modules": ["q_proj", "embed_tokens"]}
    pair = adapter_pair("llama", tmp_path / "base", r=4, **targets)
    add_second(pair, **targets)
    args = (["default", "other"], [0.7, -0.4], "both", kind)
    torch.manual_seed(11)
    pair.theirs.add_weighted_adapter(*args, **COMBINATIONS[kind])
    rng.manual_seed(11)
    pair.ours.add_weighted_adapter(*args, **COMBINATIONS[kind])
    for model in (pair.ours, pair.theirs):
        model.set_adapter("both")
    pair.check_forward(5e-5 if kind.endswith("svd") else 1e-5)


def test_auto_class(tmp_path):
    pair = adapter_pair("llama", tmp_path / "base", r=4)
    pair.theirs.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    pair.theirs.save_pretrained(tmp_path / "theirs")
    pair.ours = ours_peft.AutoPeftModelForCausalLM.from_pretrained(tmp_path / "theirs")
    pair.theirs.eval()
    pair.check_forward()
    with pytest.raises(ValueError, match="Expected target PEFT class"):
        ours_peft.AutoPeftModelForSeq2SeqLM.from_pretrained(tmp_path / "theirs")


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_replicated_layers(name, tmp_path):
    """Blocks that are used twice share their weights and have adapters of their own."""
    kwargs = {"layer_replication": [[0, 2], [0, 1], [1, 2]], "r": 4}
    pair = adapter_pair(name, tmp_path / "base", **kwargs)
    pair.check_forward()
    pair.gradients()
    check_folders(pair, tmp_path)
    assert pair.ours.config.num_hidden_layers == 4
    if name == "llama":
        ids = inputs(name)["input_ids"][:, :5]
        more = {"max_new_tokens": 4, "do_sample": False}
        tokens = pair.ours.generate(input_ids=paddle.to_tensor(ids), **more)
        wanted = pair.theirs.generate(input_ids=torch.from_numpy(ids), **more)
        assert tokens.numpy().tolist() == wanted.numpy().tolist()
