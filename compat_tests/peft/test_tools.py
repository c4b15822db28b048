"""Swapping a loaded adapter's tensors, and LoRA+, equal peft's."""

from __future__ import annotations

import peft
import pytest
import torch
from adapter_pairs import adapter_pair, named, near, randomise
from peft.optimizers import create_loraplus_optimizer
from peft.utils.hotswap import hotswap_adapter

import hfpaddle.peft as ours_peft
import hfpaddle.torch as surface
from hfpaddle.core.errors import MissingFeatureError, WeightMismatchError
from hfpaddle.core.stand_in import StandIn
from hfpaddle.peft.optimizers import create_loraplus_optimizer as our_loraplus
from hfpaddle.peft.utils.hotswap import hotswap_adapter as our_hotswap

QV = {"target_modules": ["q_proj", "v_proj"], "r": 4}
OTHERS = {
    "same": {},
    "alpha": {"lora_alpha": 20},
    "smaller": {"r": 2, "lora_alpha": 6},
    "larger": {"r": 6},
    "fewer": {"target_modules": ["q_proj"]},
}


@pytest.mark.parametrize("other", OTHERS)
def test_hotswap(other, tmp_path):
    pair = adapter_pair("llama", tmp_path / "base", **QV)
    saved = adapter_pair("llama", tmp_path / "base2", **{**QV, **OTHERS[other]})
    randomise(saved, seed=4)
    saved.theirs.save_pretrained(tmp_path / "other")
    pair.ours.eval(), pair.theirs.eval()
    our_hotswap(pair.ours, tmp_path / "other", "default")
    hotswap_adapter(pair.theirs, str(tmp_path / "other"), "default")
    pair.check_forward()
    for name, param in named(pair.theirs).items():
        near(named(pair.ours)[name], param, name, 1e-6)


def test_hotswap_refuses_what_does_not_fit(tmp_path):
    pair = adapter_pair("llama", tmp_path / "base", **QV)
    for folder, kwargs in (("more", {"target_modules": ["q_proj", "o_proj"]}), ("dora", {})):
        saved = adapter_pair("llama", tmp_path / "b" / folder, use_dora=folder == "dora", **kwargs)
        saved.theirs.save_pretrained(tmp_path / folder)
    for swap, model in ((our_hotswap, pair.ours), (hotswap_adapter, pair.theirs)):
        with pytest.raises(ValueError, match="use_dora"):
            swap(model, str(tmp_path / "dora"), "default")
        with pytest.raises(RuntimeError, match="o_proj"):
            swap(model, str(tmp_path / "more"), "default")
        model.merge_adapter()
        with pytest.raises(ValueError, match="unmerge"):
            swap(model, str(tmp_path / "dora").replace("dora", "more"), "default")


@pytest.mark.parametrize("kwargs", [{}, {"loraplus_weight_decay": 0.1}], ids=["plain", "decay"])
def test_loraplus(kwargs, tmp_path):
    """The same groups, and the same parameters after steps."""
    targets = {"target_modules": ["q_proj", "embed_tokens"], "modules_to_save": ["norm"]}
    pair = adapter_pair("llama", tmp_path / "base", lora_bias=False, r=4, **targets)
    rates = {"lr": 1e-2, "loraplus_lr_ratio": 4.0, "loraplus_lr_embedding": 1e-3, **kwargs}
    theirs = create_loraplus_optimizer(pair.theirs, torch.optim.AdamW, **rates)
    ours = our_loraplus(pair.ours, surface.optim.AdamW, **rates)
    for mine, other in zip(ours.param_groups, theirs.param_groups, strict=True):
        assert [list(p.shape) for p in mine["params"]] == [list(p.shape) for p in other["params"]]
        assert (mine["lr"], mine["weight_decay"]) == (other["lr"], other["weight_decay"])
    for _ in range(3):
        ours.zero_grad(), theirs.zero_grad()
        pair.gradients()
        ours.step(), theirs.step()
    for name, param in named(pair.theirs).items():
        near(named(pair.ours)[name], param, name, 1e-4)


@pytest.mark.parametrize("kwargs", [{}, {"modules_to_save": ["lm_head"]}], ids=["plain", "saved"])
def test_base_tensors_below_adapters(kwargs, tmp_path):
    more = {"trainable_token_indices": [3, 5]}
    pair = adapter_pair("llama", tmp_path / "base", **QV, **more, **kwargs)
    ours = ours_peft.get_base_model_state_dict(pair.ours)
    theirs = peft.get_base_model_state_dict(pair.theirs)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        near(ours[name], value, name)
    ours = {name: value * 2 for name, value in ours.items()}
    assert ours_peft.set_base_model_state_dict(pair.ours, ours).missing_keys == []
    peft.set_base_model_state_dict(pair.theirs, {k: v * 2 for k, v in theirs.items()})
    pair.check_forward(5e-5)
    with pytest.raises(RuntimeError):
        peft.set_base_model_state_dict(pair.theirs, {"other": theirs["lm_head.weight"]})
    with pytest.raises(WeightMismatchError, match="other"):
        ours_peft.set_base_model_state_dict(pair.ours, {"other": ours["lm_head.weight"]})


def test_every_public_name_is_there():
    """Each of peft's names is ours, or raises an error that names it when it is used."""
    for module, ours in ((peft, ours_peft), (peft.tuners, ours_peft.tuners)):
        for name in module.__all__:
            if name not in ("MultitaskPromptEmbedding", "MultitaskPromptTuningInit"):
                found = getattr(ours, name)
                if isinstance(found, StandIn):
                    with pytest.raises(MissingFeatureError, match=name):
                        found()
