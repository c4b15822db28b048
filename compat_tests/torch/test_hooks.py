"""Backward hooks of modules and tensors see and change what torch's do."""

from __future__ import annotations

import numpy as np
import pytest
import torch as theirs

import hfpaddle.torch as ours

ours.install_methods()
SIDES = (theirs, ours)


def model(library):
    library.manual_seed(0)
    nn = library.nn

    class Two(nn.Module):
        """Two inputs, one of which is used outside too, and two outputs."""

        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x, y, scale=1.0):
            return self.a(x) * scale, self.b(y) + self.a(y)

    return Two()


def run(library, register, inputs=(True, True)):
    """What the hooks saw, and every gradient."""
    seen = []
    two = model(library)
    register(library, two, seen)
    x, y = (library.arange(6.0).reshape(2, 3).requires_grad_(needs) for needs in inputs)
    first, second = two(x, y, scale=2.0)
    loss = first.sum() + (second * second).sum() + (x.sum() if inputs[0] else 0.0)
    loss.backward()
    grads = [t.grad for t in (x, y, *two.parameters())]
    return [None if v is None else v.detach().numpy() for v in [*flat(seen), *grads]]


def flat(value):
    if isinstance(value, (list, tuple)):
        return [item for part in value for item in flat(part)]
    return [value]


def see(library, two, seen):
    two.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))


def change(library, two, seen):
    def hook(module, grad_in, grad_out):
        seen.append(grad_in)
        return tuple(None if g is None else g * 3 for g in grad_in)

    two.register_full_backward_hook(hook)
    two.a.register_full_backward_hook(lambda m, gi, go: None if gi[0] is None else (gi[0] + 1,))


def change_first(library, two, seen):
    two.register_full_backward_pre_hook(lambda m, go: tuple(g * 2 for g in go))
    two.register_full_backward_pre_hook(lambda m, go: seen.append(go))
    two.register_full_backward_hook(lambda m, gi, go: seen.append(go))


def removed(library, two, seen):
    two.register_full_backward_hook(lambda m, gi, go: seen.append(gi)).remove()
    two.register_full_backward_hook(lambda m, gi, go: (None, None))


def tensors(library, two, seen):
    weight = two.a.weight
    weight.register_hook(lambda g: g * 2)
    weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
    two.b.weight.register_post_accumulate_grad_hook(lambda p: setattr(p, "grad", None))
    two.a.bias.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad)).remove()


NEEDS = ((True, True), (True, False), (False, False))
CASES = [
    *((see, needs) for needs in NEEDS),
    *((change, needs) for needs in NEEDS[:2]),  # torch refuses the last: see below
    *((change_first, needs) for needs in NEEDS),
    (removed, NEEDS[2]),
    *((tensors, needs) for needs in NEEDS),
]


@pytest.mark.parametrize(("register", "inputs"), CASES)
def test_hooks(register, inputs):
    want, got = (run(library, register, inputs) for library in SIDES)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_hook_of_a_hookless_input_must_not_change():
    for library in SIDES:
        linear = library.nn.Linear(2, 1)
        linear.register_full_backward_hook(lambda m, gi, go: (go[0],))
        with pytest.raises((RuntimeError, OSError), match="no input requires gradient"):
            linear(library.ones(1, 2)).sum().backward()


def test_post_hooks_are_for_leaves():
    for library in SIDES:
        leaf = library.ones(1, requires_grad=True)
        with pytest.raises(RuntimeError):
            (leaf * 2).register_post_accumulate_grad_hook(print)
        with pytest.raises(RuntimeError):
            library.ones(1).register_post_accumulate_grad_hook(print)


def test_no_hooks_no_gates():
    """Under no_grad, and once the hooks are gone, outputs are the module's own."""
    linear = ours.nn.Linear(2, 2)
    linear.register_full_backward_hook(lambda m, gi, go: None).remove()
    x = ours.ones(1, 2, requires_grad=True)
    assert linear(x).grad_fn.name() != "GradNodePyLayer__Gate"
