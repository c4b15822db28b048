"""Schedules give upstream's rate at every step, and after a state is loaded."""

from __future__ import annotations

import warnings

import numpy as np
import paddle
import pytest
import torch
from transformers import optimization as reference

from hfpaddle.transformers import optimization as ours

STEPS = 14
CASES = {
    "constant": {},
    "constant_with_warmup": {},
    "linear": {},
    "cosine": {},
    "cosine-cycles": {"num_cycles": 1.5},
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"lr_end": 1e-3, "power": 2.0},
    "inverse_sqrt": {},
    "inverse_sqrt-scale": {"timescale": 7},
    "cosine_with_min_lr": {"min_lr": 0.01},
    "cosine_with_min_lr-rate": {"min_lr_rate": 0.2},
    "cosine_warmup_with_min_lr": {"min_lr": 0.01},
    "cosine_warmup_with_min_lr-rate": {"min_lr_rate": 0.2, "warmup_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 5},
    "warmup_stable_decay-sqrt": {
        **{"num_decay_steps": 4, "num_stable_steps": 3, "min_lr_ratio": 0.1},
        **{"warmup_type": "1-sqrt", "decay_type": "1-sqrt"},
    },
    "warmup_stable_decay-cosine": {
        **{"num_decay_steps": 4, "warmup_type": "cosine", "decay_type": "linear"}
    },
}


def optimizers():
    from hfpaddle.torch import optim

    theirs = torch.optim.SGD([{"params": [torch.nn.Parameter(torch.ones(2))]}], lr=0.1)
    parameter = paddle.create_parameter([2], "float32")
    return theirs, optim.SGD([{"params": [parameter]}], lr=0.1)


def rates(module, optimizer, name, kwargs, warmup, total=12, steps=STEPS):
    schedule = module.get_scheduler(name, optimizer, warmup, total, dict(kwargs))
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found, schedule


@pytest.mark.parametrize("warmup", [0, 3])
@pytest.mark.parametrize("case", CASES)
def test_schedule(case, warmup):
    name, kwargs = case.split("-")[0], CASES[case]
    theirs, mine = optimizers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want, _ = rates(reference, theirs, name, kwargs, warmup)
        got, schedule = rates(ours, mine, name, kwargs, warmup)
        assert got == want
        _, fresh = optimizers()
        again = ours.get_scheduler(name, fresh, warmup, 12, dict(kwargs))
    again.load_state_dict(schedule.state_dict())
    assert again.get_last_lr() == schedule.get_last_lr()
    for s in (schedule, again):
        s.optimizer.step()
        s.step()
    assert again.get_last_lr() == schedule.get_last_lr()


def test_every_name_of_upstream_is_there():
    assert set(ours.TYPE_TO_SCHEDULER_FUNCTION) == set(reference.TYPE_TO_SCHEDULER_FUNCTION)


@pytest.mark.parametrize(
    ("name", "warmup", "total", "kwargs"),
    [
        ("linear", None, 10, {}),
        ("cosine", 1, None, {}),
        ("nothing", 1, 10, {}),
        ("polynomial", 1, 10, {"lr_end": 1.0}),
        ("cosine_with_min_lr", 1, 10, {}),
        ("cosine_with_min_lr", 1, 10, {"min_lr": 0.1, "min_lr_rate": 0.1}),
        ("warmup_stable_decay", 1, None, {"num_decay_steps": 2}),
        ("warmup_stable_decay", 1, 10, {"num_decay_steps": 2, "decay_type": "round"}),
    ],
)
def test_errors(name, warmup, total, kwargs):
    for module, optimizer in zip((reference, ours), optimizers(), strict=True):
        with pytest.raises(ValueError):
            module.get_scheduler(name, optimizer, warmup, total, dict(kwargs))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"patience": 1, "min_lr": 0.01, "max_lr": 0.3},
        {"patience": 0, "mode": "max", "threshold_mode": "rel", "cooldown": 2, "warmup": 1},
        {"patience": 0, "smooth": True, "window_size": 3, "min_lr": 0.09, "reset_start": 2},
    ],
)
def test_by_metric(kwargs):
    metrics = np.random.default_rng(0).normal(size=60).cumsum()
    theirs, mine = optimizers()
    schedules = [
        m.get_scheduler("greedy", o, scheduler_specific_kwargs=dict(kwargs))
        for m, o in ((reference, theirs), (ours, mine))
    ]
    for metric in metrics:
        for schedule in schedules:
            schedule.step(float(metric))
        assert schedules[0].get_last_lr() == schedules[1].get_last_lr()
    want, got = (s.state_dict() for s in schedules)
    assert want == got
    fresh = ours.get_scheduler("greedy", optimizers()[1], scheduler_specific_kwargs=dict(kwargs))
    fresh.load_state_dict(got)
    assert fresh.state_dict() == got


def test_plateau():
    theirs, mine = optimizers()
    schedules = [
        m.get_scheduler("reduce_lr_on_plateau", o, scheduler_specific_kwargs={"patience": 1})
        for m, o in ((reference, theirs), (ours, mine))
    ]
    for metric in (3.0, 2.0, 2.5, 2.4, 2.3, 1.0, 1.5, 1.4, 1.3):
        for schedule in schedules:
            schedule.step(metric)
        assert theirs.param_groups[0]["lr"] == mine.param_groups[0]["lr"]
    assert mine.param_groups[0]["lr"] < 0.1


ADAFACTOR = [
    {},
    {"lr": 0.01, "relative_step": False, "scale_parameter": False, "weight_decay": 0.1},
    {"warmup_init": True, "beta1": 0.9},
    {"lr": 0.05, "relative_step": False, "clip_threshold": 0.5},
]


@pytest.mark.parametrize("kwargs", ADAFACTOR)
def test_adafactor(kwargs):
    random = np.random.default_rng(0)
    shapes = [(3, 5), (7,), (2, 3, 4)]
    values = [random.normal(size=s).astype(np.float32) for s in shapes]
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
    mine = [paddle.to_tensor(v, stop_gradient=False) for v in values]
    pair = reference.Adafactor(theirs, **kwargs), ours.Adafactor(mine, **kwargs)
    schedules = [
        m.get_adafactor_schedule(o, 0.5) for m, o in zip((reference, ours), pair, strict=True)
    ]
    assert schedules[0].get_last_lr() == schedules[1].get_last_lr()
    for _ in range(6):
        for parameter, other in zip(theirs, mine, strict=True):
            factor = random.normal(size=parameter.shape).astype(np.float32)
            (parameter * torch.tensor(factor)).sum().backward()
            (other * paddle.to_tensor(factor)).sum().backward()
        for optimizer, schedule in zip(pair, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        for parameter, other in zip(theirs, mine, strict=True):
            np.testing.assert_allclose(
                other.detach().numpy(), parameter.detach().numpy(), 1e-5, 1e-7
            )
    for bad in ({"lr": 0.1}, {"relative_step": False, "warmup_init": True}):
        with pytest.raises(ValueError):
            ours.Adafactor(mine, **bad)
