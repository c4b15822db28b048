"""Adapters of several methods in one model equal peft's."""

from __future__ import annotations

import itertools

import peft
import pytest
import torch
from adapter_pairs import base_pair, named, near, randomise

import hfpaddle.peft as ours_peft
from hfpaddle.core import rng

METHODS = {
    "LoraConfig": {"r": 4},
    "LoHaConfig": {"r": 2},
    "LoKrConfig": {"r": 2},
    "OFTConfig": {"oft_block_size": 8},
    "AdaLoraConfig": {"init_r": 3, "total_step": 10},
}


def mixed_pair(folder, first, second, names=("a", "b")):
    pair = base_pair("llama", folder)
    for world, library in (("theirs", peft), ("ours", ours_peft)):
        torch.manual_seed(7), rng.manual_seed(7)
        model = getattr(pair, world)
        for name, (method, targets) in zip(names, (first, second), strict=True):
            config = getattr(library, method)(target_modules=targets, **METHODS[method])
            if name == names[0]:
                model = library.get_peft_model(model, config, name, mixed=True)
            else:
                model.add_adapter(name, config)
        setattr(pair, world, model)
    assert named(pair.ours).keys() == named(pair.theirs).keys()
    for name, param in named(pair.theirs).items():
        near(named(pair.ours)[name], param, name, 1e-6)
    for seed, name in enumerate(names):
        randomise(pair, name, seed)
    return pair


def activate(pair, names):
    pair.ours.set_adapter(names), pair.theirs.set_adapter(names)


@pytest.mark.parametrize("first, second", itertools.permutations(METHODS, 2))
def test_two_methods(first, second, tmp_path):
    """One on q and v, the other on v and o: v's layers wrap each other."""
    targets = (first, ["q_proj", "v_proj"]), (second, ["v_proj", "o_proj"])
    pair = mixed_pair(tmp_path / "base", *targets)
    assert type(pair.ours).__name__ == type(pair.theirs).__name__ == "PeftMixedModel"
    pair.ours.eval(), pair.theirs.eval()
    for names in ("a", "b", ["a", "b"]):
        activate(pair, names)
        pair.check_forward()
    with pair.ours.disable_adapter(), pair.theirs.disable_adapter():
        pair.check_forward()
    pair.gradients()
    pair.ours, pair.theirs = pair.ours.merge_and_unload(), pair.theirs.merge_and_unload()
    pair.check_forward(5e-5)
    assert pair.ours.state_dict().keys() == pair.theirs.state_dict().keys()


def test_loading_and_removing(tmp_path):
    pair = mixed_pair(
        tmp_path / "base", ("LoraConfig", ["q_proj"]), ("LoHaConfig", ["q_proj", "up_proj"])
    )
    activate(pair, ["a", "b"])
    saved = base_pair("llama", tmp_path / "base2").theirs
    config = peft.LoKrConfig(target_modules=["v_proj"], r=2, init_weights=False)
    peft.get_peft_model(saved, config).save_pretrained(tmp_path / "lokr")
    for model in (pair.ours, pair.theirs):
        model.load_adapter(str(tmp_path / "lokr"), "c")
        model.set_adapter(["a", "c"])
    pair.ours.eval(), pair.theirs.eval()
    pair.check_forward()
    for model in (pair.ours, pair.theirs):
        model.delete_adapter("a")
        model.set_adapter(["b", "c"])
    pair.check_forward()
    for model in (pair.ours, pair.theirs):
        for refused, error in (
            (lambda m: m.save_pretrained(tmp_path), NotImplementedError),
            (lambda m: m.get_layer_status(), TypeError),
            (lambda m: m.set_adapter("none"), ValueError),
            (lambda m: m.delete_adapter("none"), ValueError),
            (lambda m: m.add_weighted_adapter(["b"], [1.0], "x"), NotImplementedError),
        ):
            with pytest.raises(error):
                refused(model)
    loaded = [
        library.PeftMixedModel.from_pretrained(model.unload(), str(tmp_path / "lokr"))
        for library, model in ((ours_peft, pair.ours), (peft, pair.theirs))
    ]
    pair.ours, pair.theirs = (model.eval() for model in loaded)
    pair.check_forward()
