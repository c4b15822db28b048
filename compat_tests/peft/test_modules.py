"""LoRA beside modules of the torch surface, in a model of one's own, equals peft's."""

from __future__ import annotations

import numpy as np
import paddle
import peft
import pytest
import torch
from adapter_pairs import Pair, check_folders, check_initial, near, randomise

import hfpaddle.peft as ours_peft
import hfpaddle.torch as surface


def build(nn, base):
    """One model of each kind of layer, written once for both libraries."""

    class Net(base):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(20, 8, padding_idx=0)
            self.line = nn.Conv1d(8, 6, 3, stride=1, padding=1)
            self.plane = nn.Conv2d(1, 4, (2, 3), stride=2, padding=1)
            self.pixel = nn.Conv2d(4, 6, 1, groups=2)
            self.space = nn.Conv3d(1, 2, 2)
            self.first = nn.Linear(6, 10)
            self.second = nn.Linear(10, 3, bias=False)
            self.norm = nn.LayerNorm(6)

        def forward(self, ids):
            x = self.table(ids)
            x = self.line(x.transpose(1, 2)).transpose(1, 2)
            x = self.norm(x)
            y = self.pixel(self.plane(x.unsqueeze(1))).mean()
            z = self.space(x.unsqueeze(1).unsqueeze(1).repeat(1, 1, 2, 1, 1)).mean()
            return self.second(self.first(x)) + y + z

    return Net()


def pair_of(**kwargs):
    theirs = build(torch.nn, torch.nn.Module).eval()
    ours = build(surface.nn, surface.nn.Module).eval()
    for name, param in theirs.named_parameters():
        dict(ours.named_parameters())[name].set_value(paddle.to_tensor(param.detach().numpy()))
    torch.manual_seed(5), surface.manual_seed(5)
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**kwargs))
    ours = ours_peft.get_peft_model(ours, ours_peft.LoraConfig(**kwargs))
    return Pair("own", None, theirs, ours)


def check(pair):
    ids = np.array([[1, 5, 0, 7, 3], [2, 0, 0, 19, 4]])
    ours, theirs = pair.ours(paddle.to_tensor(ids)), pair.theirs(torch.from_numpy(ids))
    near(ours, theirs, "output")
    return ours, theirs


KINDS = ["table", "line", "plane", "space", "first", "second"]


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_each_kind_of_layer(kind, dora, tmp_path):
    targets = KINDS if kind == "all" else [kind]
    pair = pair_of(target_modules=targets, r=2, use_dora=dora)
    check_initial(pair)
    randomise(pair)
    ours, theirs = check(pair)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    grads = {n: p.grad for n, p in pair.theirs.named_parameters() if p.requires_grad}
    mine = {n: p.grad for n, p in pair.ours.named_parameters() if not p.stop_gradient}
    assert mine.keys() == grads.keys()
    for name, grad in grads.items():
        near(mine[name], grad, name, 1e-4)
    check_folders(pair, tmp_path)
    pair.ours.merge_adapter(), pair.theirs.merge_adapter()
    check(pair)
    pair.ours.unmerge_adapter(), pair.theirs.unmerge_adapter()
    check(pair)


def test_groups(tmp_path):
    pair = pair_of(target_modules=["pixel"], r=4)
    check_initial(pair)
    randomise(pair)
    check(pair)
    with pytest.raises(NotImplementedError):
        pair.ours.merge_adapter()
    with pytest.raises(ValueError, match="divisible"):
        config = ours_peft.LoraConfig(target_modules=["pixel"], r=3)
        ours_peft.get_peft_model(build(surface.nn, surface.nn.Module), config)
