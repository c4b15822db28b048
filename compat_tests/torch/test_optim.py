"""``hfpaddle.torch.optim`` against torch.optim: 10 steps of every rule, states, groups."""

from __future__ import annotations

import copy

import numpy as np
import paddle
import pytest
import torch as theirs
import torch.optim

import hfpaddle.torch as ours
from hfpaddle.torch import nn as our_nn

ours.install_methods()
RNG = np.random.default_rng(0)
START = [RNG.normal(size=shape).astype("float32") for shape in ((4, 3), (3,), (2, 3, 4))]
GRADS = [[RNG.normal(size=p.shape).astype("float32") for p in START] for _ in range(10)]
BOTH = (theirs, theirs.nn), (ours, our_nn)

RULES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.99), "eps": 1e-4}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "fused": True, "maximize": True}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "foreach": True}),
    ("AdamW", {"lr": 0.0, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.01, "weight_decay": 0.1}),
    ("Adadelta", {"lr": 0.5, "weight_decay": 0.1}),
    ("ASGD", {"lr": 0.01, "weight_decay": 0.1}),
    ("ASGD", {"lr": 0.01, "t0": 3}),
    ("Rprop", {"lr": 0.01}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.1}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01}),
    ("Adafactor", {"lr": 0.01, "weight_decay": 0.1}),
    ("Adafactor", {"lr": 0.01, "eps": (1e-5, 1e-2), "d": 2.0}),
]


def parameters(library, nn, dtype=None):
    values = [library.tensor(value, dtype=dtype) for value in START]
    return [nn.Parameter(value) for value in values]


def steps(library, params, optimizer, number=10, start=0):
    for grads in GRADS[start : start + number]:
        for param, grad in zip(params, grads, strict=True):
            param.grad = library.tensor(grad, dtype=param.dtype)
        optimizer.step()


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value.tolist() if hasattr(value, "tolist") else value


def assert_same(got, want, tolerance=1e-6):
    assert type(got) is type(want)
    if isinstance(want, dict):
        assert list(got) == list(want)
        for key in want:
            assert_same(got[key], want[key], tolerance)
    elif isinstance(want, (list, tuple)) and want and not isinstance(want[0], float):
        assert len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            assert_same(a, b, tolerance)
    elif isinstance(want, (float, list, tuple)):
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    else:
        assert got == want


@pytest.mark.parametrize(("name", "options"), RULES, ids=[rule[0] for rule in RULES])
def test_ten_steps(name, options):
    results = []
    for library, nn in BOTH:
        params = parameters(library, nn)
        optimizer = getattr(library.optim, name)(params, **options)
        steps(library, params, optimizer)
        results.append((params, plain(optimizer.state_dict())))
    (want, want_state), (got, got_state) = results
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-6)
    assert_same(got_state, want_state, 5e-6)


def long_run(library, nn, name, options):
    """Parameters after 200 steps with gradients whose size changes from step to step."""
    rng = np.random.default_rng(1)
    params = parameters(library, nn)
    optimizer = getattr(library.optim, name)(params, **options)
    for _ in range(200):
        scale = 10 ** rng.uniform(-4, 0)
        for param in params:
            grad = (rng.normal(size=tuple(param.shape)) * scale).astype("float32")
            param.grad = library.tensor(grad)
        optimizer.step()
    return [param.detach().numpy() for param in params]


@pytest.mark.parametrize(("name", "options"), RULES, ids=[rule[0] for rule in RULES])
def test_two_hundred_steps_do_not_drift(name, options):
    want, got = (long_run(*side, name, options) for side in BOTH)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-7, atol=5e-7)


@pytest.mark.parametrize(("name", "options"), RULES, ids=[rule[0] for rule in RULES])
def test_tensors_as_blocks(monkeypatch, name, options):
    """The rules on whole tensors, as on a GPU, and on blocks that divide the parameters."""
    from hfpaddle.torch.optim import _apply

    want = long_run(*BOTH[0], name, options)
    monkeypatch.setattr(_apply, "BLOCK", 5)
    blocks = long_run(*BOTH[1], name, options)
    monkeypatch.setattr(_apply, "_CODES", {})
    tensors = long_run(*BOTH[1], name, options)
    for a, b, c in zip(blocks, tensors, want, strict=True):
        np.testing.assert_allclose(a, c, rtol=5e-7, atol=5e-7)
        np.testing.assert_allclose(b, c, rtol=5e-6, atol=5e-6)


@pytest.mark.parametrize("decoupled", [True, False])
def test_fused_kernel(decoupled):
    """Paddle's kernel, which GPUs run, gives the rule's numbers although it rounds the betas."""
    from hfpaddle.torch.optim.adam import _fused

    rng = np.random.default_rng(2)
    start = rng.normal(size=64).astype("float32")
    want = theirs.nn.Parameter(theirs.tensor(start))
    got = our_nn.Parameter(ours.tensor(start))
    rule = theirs.optim.AdamW if decoupled else theirs.optim.Adam
    optimizer = rule([want], lr=0.01, weight_decay=0.1)
    states, group = [paddle.zeros([64]) for _ in range(2)], {"betas": (0.9, 0.999), "eps": 1e-8}
    for step in range(1, 201):
        grad = rng.normal(size=64).astype("float32")
        want.grad = theirs.tensor(grad)
        optimizer.step()
        l2, keep = (0.0, 1 - 0.01 * 0.1) if decoupled else (0.1, 1.0)
        rate, root = 0.01 / (1 - 0.9**step), (1 - 0.999**step) ** 0.5
        with paddle.no_grad():
            _fused(got, ours.tensor(grad), states, group, l2, keep, rate, root)
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=0, atol=1e-6)


def test_shapes_of_parameters():
    """No dimensions, no items, and memory that is not in order."""
    value = np.arange(12, dtype="float32").reshape(3, 4)
    results = []
    for library, nn in BOTH:
        turned = library.tensor(value).t().detach().requires_grad_()
        params = [nn.Parameter(library.tensor(2.0)), nn.Parameter(library.zeros(0, 3)), turned]
        optimizer = library.optim.AdamW(params, lr=0.1)
        for _ in range(3):
            for param in params:
                param.grad = library.ones_like(param)
            optimizer.step()
        results.append([param.detach().numpy() for param in params])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_step_is_noticed_by_a_waiting_backward():
    for library, nn in BOTH:
        param = nn.Parameter(library.tensor([2.0]))
        loss = (param * param).sum()
        param.grad = library.tensor([1.0])
        library.optim.AdamW([param]).step()
        with pytest.raises(RuntimeError):
            loss.backward()


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_other_dtypes(name, dtype):
    """float64 exactly; bfloat16 to its last two digits, since torch rounds at every operation."""
    results = []
    for library, nn in BOTH:
        params = parameters(library, nn, getattr(library, dtype))
        optimizer = getattr(library.optim, name)(params, lr=0.01)
        steps(library, params, optimizer)
        assert all(p.dtype == getattr(library, dtype) for p in params)
        results.append([np.array(p.detach().to(library.float64).tolist()) for p in params])
    tolerance = 1e-7 if dtype == "float64" else 2e-2
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["SGD", "AdamW", "RMSprop", "Adafactor"])
def test_a_loaded_state_goes_on_alike(name):
    options = {"lr": 0.01} | ({"momentum": 0.9} if name == "SGD" else {})
    params = parameters(ours, our_nn)
    optimizer = getattr(ours.optim, name)(params, **options)
    steps(ours, params, optimizer, 5)
    saved = copy.deepcopy(optimizer.state_dict())
    again = [our_nn.Parameter(ours.tensor(p.detach().numpy())) for p in params]
    other = getattr(ours.optim, name)(again, lr=1.0)
    other.load_state_dict(saved)
    assert other.param_groups[0]["lr"] == 0.01 and other.param_groups[0]["params"][0] is again[0]
    for each, own in ((params, optimizer), (again, other)):
        steps(ours, each, own, 5, 5)
    for a, b in zip(params, again, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_states_of_torch_load():
    """torch's own state dict, as numbers: ours goes on where torch stopped."""
    theirs_params = parameters(*BOTH[0])
    original = theirs.optim.AdamW(theirs_params, lr=0.01)
    steps(theirs, theirs_params, original, 5)

    def convert(value):
        if isinstance(value, theirs.Tensor):
            return ours.tensor(value.detach().numpy())
        if isinstance(value, dict):
            return {key: convert(item) for key, item in value.items()}
        return value

    params = [our_nn.Parameter(convert(p)) for p in theirs_params]
    optimizer = ours.optim.AdamW(params, lr=1.0)
    optimizer.load_state_dict(convert(original.state_dict()))
    steps(theirs, theirs_params, original, 5, 5)
    steps(ours, params, optimizer, 5, 5)
    for a, b in zip(params, theirs_params, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("history", [100, 3])
def test_lbfgs(search, history):
    """Rosenbrock's valley in four variables, three steps of several iterations."""
    results = []
    for library, nn in BOTH:
        param = nn.Parameter(library.tensor([-1.2, 1.0, 0.7, -0.3], dtype=library.float64))
        other = nn.Parameter(library.tensor(0.5, dtype=library.float64))
        rule = library.optim.LBFGS(
            [param, other], lr=0.02 if search is None else 1, history_size=history,
            line_search_fn=search, max_iter=6,
        )  # fmt: skip
        losses = []

        def closure(param=param, other=other, rule=rule):
            rule.zero_grad()
            x, y = param[:-1], param[1:]
            loss = (100 * (y - x * x) ** 2 + (1 - x) ** 2).sum() + (other - param[0]) ** 2
            loss.backward()
            return loss

        for _ in range(4):
            losses.append(float(rule.step(closure)))
        state = rule.state_dict()["state"][0]
        results.append((losses, param.tolist(), other.item(), state["n_iter"], state["func_evals"]))
    for got, want in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_groups():
    states = []
    for library, nn in BOTH:
        a, b, c = parameters(library, nn)
        optimizer = library.optim.AdamW(
            [{"params": [a], "weight_decay": 0.0}, {"params": b, "lr": 1.0}], lr=0.1
        )
        optimizer.add_param_group({"params": {"c": c}.values(), "betas": (0.5, 0.9)})
        with pytest.raises(ValueError, match="more than one parameter group"):
            optimizer.add_param_group({"params": [a]})
        with pytest.raises(ValueError, match="with/without names"):
            optimizer.add_param_group({"params": [("name", nn.Parameter(c.detach()))]})
        named = library.optim.SGD([("weight", a), ("bias", b)], lr=0.1)
        assert named.param_groups[0]["param_names"] == ["weight", "bias"]
        with pytest.raises(TypeError, match="should be an iterable"):
            library.optim.SGD(a, lr=0.1)
        with pytest.raises(ValueError, match="empty parameter list"):
            library.optim.SGD([], lr=0.1)
        with pytest.raises(ValueError, match="non-leaf"):
            library.optim.SGD([a * 2], lr=0.1)
        with pytest.raises(ValueError, match="Invalid learning rate"):
            library.optim.SGD([a], lr=-0.1)
        states.append((plain(optimizer.state_dict()), repr(optimizer)))
    assert states[0] == states[1]


def test_zero_grad_closure_and_hooks():
    (param, *_), calls = parameters(ours, our_nn), []
    optimizer = ours.optim.SGD([param], lr=0.1)
    optimizer.register_step_pre_hook(lambda opt, args, kwargs: calls.append("pre"))
    handle = optimizer.register_step_post_hook(lambda opt, args, kwargs: calls.append("post"))

    def closure():
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    first = optimizer.step(closure).item()
    handle.remove()
    assert optimizer.step(closure).item() < first and calls == ["pre", "post", "pre"]
    optimizer.zero_grad(set_to_none=False)
    assert not param.grad.numpy().any()
    optimizer.zero_grad()
    assert param.grad is None


def test_a_scripts_own_optimizer():
    class Sign(ours.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @ours.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["count"] = self.state[p].get("count", 0) + 1
                    p.add_(p.grad.sign(), alpha=-group["lr"])

    params = parameters(ours, our_nn)
    optimizer = Sign(params, lr=0.5)
    schedule = ours.optim.lr_scheduler.StepLR(optimizer, 1)
    steps(ours, params, optimizer, 1)
    schedule.step()
    want = START[0] - 0.5 * np.sign(GRADS[0][0])
    np.testing.assert_allclose(params[0].detach().numpy(), want, rtol=1e-6)
    assert optimizer.state[params[0]]["count"] == 1
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_training_gives_the_same_losses(name):
    x, y = RNG.normal(size=(16, 8)).astype("float32"), RNG.integers(0, 3, 16)

    def train(library, nn):
        library.manual_seed(3)
        net = nn.Sequential(
            nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Dropout(0.1), nn.Linear(16, 3)
        )
        optimizer = getattr(library.optim, name)(net.parameters(), lr=0.05)
        schedule = library.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
        losses = []
        for _ in range(20):
            loss = nn.CrossEntropyLoss()(net(library.tensor(x)), library.tensor(y))
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses

    want, got = (train(*sides) for sides in BOTH)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert want[-1] < 0.8 * want[0]


def test_what_is_missing_says_so():
    with pytest.raises(AttributeError, match="SparseAdam"):
        _ = ours.optim.SparseAdam
    with pytest.raises(NotImplementedError, match="differentiable"):
        ours.optim.SGD([our_nn.Parameter(paddle.ones([1]))], lr=0.1, differentiable=True)
