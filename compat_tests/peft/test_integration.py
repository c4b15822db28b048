"""Adapters on a model itself equal transformers' own integration of peft."""

from __future__ import annotations

import paddle
import peft
import pytest
import torch
import transformers
from adapter_pairs import base_pair, near, randomise, read_folder

import hfpaddle.peft as ours_peft
from hfpaddle.core import rng
from hfpaddle.modeling.auto import AutoModelForCausalLM

LORA = {"r": 4, "target_modules": ["q_proj", "v_proj"], "modules_to_save": ["lm_head"]}


def add(pair, name, **kwargs):
    torch.manual_seed(1)
    pair.theirs.add_adapter(peft.LoraConfig(**{**LORA, **kwargs}), adapter_name=name)
    rng.manual_seed(1)
    pair.ours.add_adapter(ours_peft.LoraConfig(**{**LORA, **kwargs}), adapter_name=name)
    randomise(pair, name, seed=len(name))


def test_adapters_on_the_model(tmp_path):
    pair = base_pair("llama", tmp_path / "base")
    with pytest.raises(ValueError, match="No adapter loaded"):
        pair.ours.set_adapter("default")
    plain = pair.outputs()[0].logits
    add(pair, "first")
    pair.check_forward()
    pair.gradients()
    add(pair, "second", r=2)
    pair.check_forward()
    assert pair.ours.active_adapters() == pair.theirs.active_adapters() == ["second"]
    with pytest.raises(ValueError, match="already exists"):
        pair.ours.add_adapter(ours_peft.LoraConfig(**LORA), adapter_name="second")
    for model in (pair.ours, pair.theirs):
        model.disable_adapters()
    near(pair.outputs()[0].logits, torch.from_numpy(plain.numpy()), "disabled")
    for model in (pair.ours, pair.theirs):
        model.enable_adapters(), model.set_adapter("first")
    # The original's enable_adapters forgets what its disable_adapters did to these.
    for module in pair.theirs.modules():
        if isinstance(module, peft.utils.ModulesToSaveWrapper):
            module.enable_adapters(True)
    pair.check_forward()
    ours, theirs = pair.ours.get_adapter_state_dict(), pair.theirs.get_adapter_state_dict()
    assert ours.keys() == theirs.keys()
    for model in (pair.ours, pair.theirs):
        model.delete_adapter("second")
    pair.check_forward()
    pair.ours.delete_adapter("first")
    assert not pair.ours._hf_peft_config_loaded


def test_folders_both_ways(tmp_path):
    pair = base_pair("llama", tmp_path / "base")
    add(pair, "default")
    for model, name in ((pair.ours, "ours"), (pair.theirs, "theirs")):
        model.save_pretrained(tmp_path / name)
    assert read_folder(tmp_path / "ours")[0] == read_folder(tmp_path / "theirs")[0]
    keys = [read_folder(tmp_path / name)[1].keys() for name in ("ours", "theirs")]
    assert keys[0] == keys[1]
    pair.ours.eval(), pair.theirs.eval()
    wanted = pair.outputs()
    # The adapter alone, into a base model and by an auto class that finds the base itself.
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    result = ours.load_adapter(tmp_path / "theirs")
    assert not result.missing_keys and not result.unexpected_keys
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "theirs")
    pair.ours, pair.theirs = ours, theirs
    pair.check_forward()
    near(wanted[0].logits, wanted[1].logits, "before")
    near(ours(paddle.to_tensor([[1, 5, 9]])).logits, theirs(torch.tensor([[1, 5, 9]])).logits, "x")
    near(again(paddle.to_tensor([[1, 5, 9]])).logits, theirs(torch.tensor([[1, 5, 9]])).logits, "y")
