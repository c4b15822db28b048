"""``hfpaddle.torch.utils.checkpoint``, ``_pytree`` and ``amp`` against torch's."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch as theirs
import torch.utils.checkpoint
from torch.utils import _pytree as their_tree

import hfpaddle.torch as ours
from hfpaddle.core.errors import MissingDependencyError
from hfpaddle.torch import amp
from hfpaddle.torch import nn as our_nn
from hfpaddle.torch import optim as our_optim
from hfpaddle.torch.utils import _pytree as our_tree
from hfpaddle.torch.utils import checkpoint as our_checkpoint

ours.install_methods()
BOTH = (theirs, theirs.nn, torch.utils.checkpoint), (ours, our_nn, our_checkpoint)
Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize("inputs_need_grad", [False, True])
def test_checkpoint_draws_and_differentiates_as_without(inputs_need_grad):
    x = np.linspace(-1, 1, 32).astype("float32").reshape(4, 8)

    def run(library, nn, checkpoint, on):
        library.manual_seed(0)
        net = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.3), nn.GELU(), nn.Linear(8, 2))
        value = library.tensor(x, requires_grad=inputs_need_grad)
        calls = []

        def block(h, *, scale):
            calls.append(1)
            return net(h) * scale

        if on:
            out = checkpoint.checkpoint(block, value, scale=2.0, use_reentrant=False)
        else:
            out = block(value, scale=2.0)
        between = library.rand(1).item()
        (out * out).sum().backward()
        grads = [p.grad.numpy() for p in net.parameters()]
        grads += [value.grad.numpy()] if inputs_need_grad else []
        return len(calls), between, library.rand(1).item(), out.detach().numpy(), grads

    want = run(*BOTH[0], True)
    for on in (False, True):
        got = run(*BOTH[1], on)
        assert got[0] == (2 if on else 1) and got[1:3] == want[1:3]
        np.testing.assert_allclose(got[3], want[3], rtol=1e-5, atol=1e-6)
        for a, b in zip(got[4], want[4], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_checkpoint_sequential():
    def run(library, nn, checkpoint):
        library.manual_seed(0)
        net = nn.Sequential(*(nn.Linear(4, 4) for _ in range(5)))
        x = library.ones(2, 4, requires_grad=True)
        out = checkpoint.checkpoint_sequential(net, 2, x, use_reentrant=False)
        out.sum().backward()
        return out.detach().numpy(), net[0].weight.grad.numpy(), x.grad.numpy()

    for a, b in zip(run(*BOTH[1]), run(*BOTH[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


TREES = [
    3, [1, (2, {"b": 3, "a": [4]})], Point(1, [2]), collections.OrderedDict(z=1, a=(2,)), (), None,
    collections.deque([1, 2], maxlen=3), collections.defaultdict(int, k=1),
]  # fmt: skip


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_trees(tree):
    leaves, spec = our_tree.tree_flatten(tree)
    assert leaves == their_tree.tree_flatten(tree)[0]
    again = our_tree.tree_unflatten(leaves, spec)
    assert again == tree and type(again) is type(tree)
    double = [t.tree_map(lambda x: [x, x], tree) for t in (their_tree, our_tree)]
    assert double[0] == double[1]
    assert our_tree.tree_map_only(int, str, tree) == their_tree.tree_map_only(int, str, tree)
    with pytest.raises(ValueError, match="has length"):
        our_tree.tree_unflatten([*leaves, 1], spec)


def scaled_steps(library, scaler, optimizer, params):
    """Losses that overflow at the third step."""
    seen = []
    for number in range(7):
        loss = (params[0] * (float("inf") if number == 2 else 1.0)).sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        seen.append((params[0].detach().tolist(), scaler.get_scale()))
    return seen, scaler.state_dict()


def test_grad_scaler():
    results = []
    for library, nn, scaler_class in (
        (theirs, theirs.nn, theirs.amp.GradScaler),
        (ours, our_nn, amp.GradScaler),
    ):
        param = nn.Parameter(library.ones(2))
        optimizer = (theirs.optim if library is theirs else our_optim).SGD([param], lr=0.25)
        scaler = scaler_class("cpu", init_scale=8.0, growth_interval=2)
        results.append(scaled_steps(library, scaler, optimizer, [param]))
    assert results[0] == results[1]
    disabled = amp.GradScaler("cpu", enabled=False)
    assert disabled.get_scale() == 1.0 and disabled.state_dict() == {}
    scaler = amp.GradScaler("cpu")
    scaler.load_state_dict(results[1][1])
    assert scaler.state_dict() == results[0][1]


def test_autocast():
    with amp.autocast("cpu", dtype=ours.bfloat16):
        assert amp.is_autocast_enabled("cpu") and not amp.is_autocast_enabled("cuda")
        assert (ours.ones(2, 2) @ ours.ones(2, 2)).dtype is ours.float32  # documented
        with amp.autocast("cpu", enabled=False):
            assert not amp.is_autocast_enabled("cpu")
    assert not amp.is_autocast_enabled("cpu")
    assert amp.autocast("cpu")(lambda: amp.is_autocast_enabled("cpu"))()
    with pytest.raises(RuntimeError, match="device_type 'tpu'"):
        amp.autocast("tpu")


def test_summary_writer_works_or_says_what_to_install(tmp_path):
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match="pip install tensorboard"):
            from hfpaddle.torch.utils.tensorboard import SummaryWriter
        return
    from hfpaddle.torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", ours.tensor(1.5), 3)
        writer.add_text("note", "text")
        writer.add_histogram("w", ours.ones(3))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(3, 1.5)]
