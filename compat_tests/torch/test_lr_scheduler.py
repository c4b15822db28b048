"""``hfpaddle.torch.optim.lr_scheduler`` against torch's: the rate of each of 40 steps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch as theirs
import torch.optim

import hfpaddle.torch as ours
from hfpaddle.torch import nn as our_nn

BOTH = (theirs, theirs.nn), (ours, our_nn)

SCHEDULES = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (e + 1)]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.9),
    "StepLR": lambda s, o: s.StepLR(o, 7, 0.3),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [3, 3, 20], 0.3),
    "ConstantLR": lambda s, o: s.ConstantLR(o, 0.25, 6),
    "LinearLR": lambda s, o: s.LinearLR(o, 0.1, 0.9, 12),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, 15, 2.0),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 12, 0.001),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2, 0.001),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, [0.5, 1.0], 50),
    "OneCycleLR three": lambda s, o: s.OneCycleLR(
        o, 0.5, epochs=5, steps_per_epoch=10, three_phase=True, anneal_strategy="linear"
    ),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, 1.0, 5), s.CosineAnnealingLR(o, 30), s.ExponentialLR(o, 0.5)],
        [5, 30],
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.95)], optimizer=o
    ),
}  # fmt: skip


def optimizer_of(library, nn, name="SGD"):
    params = [nn.Parameter(library.ones(1)) for _ in range(2)]
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.02}]
    options = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(library.optim, name)(groups, lr=0.1, **options)


def rates(schedule, optimizer, number):
    seen = []
    for _ in range(number):
        seen.append([(g["lr"], g.get("momentum"), g.get("betas")) for g in optimizer.param_groups])
        assert schedule.get_last_lr() == [g["lr"] for g in optimizer.param_groups]
        optimizer.step()
        schedule.step()
    return seen


def numbers(seen):
    return np.array([[[x or 0.0 for x in (lr, m, (b or (0,))[0])] for lr, m, b in s] for s in seen])


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(name, optimizer):
    results = []
    for library, nn in BOTH:
        own = optimizer_of(library, nn, optimizer)
        results.append(rates(SCHEDULES[name](library.optim.lr_scheduler, own), own, 40))
    np.testing.assert_allclose(numbers(results[1]), numbers(results[0]), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_saved_states_have_torchs_form_and_go_on(name):
    states = []
    for library, nn in BOTH:
        own = optimizer_of(library, nn)
        schedule = SCHEDULES[name](library.optim.lr_scheduler, own)
        rates(schedule, own, 11)
        states.append((schedule.state_dict(), own.state_dict()))
        rest = rates(schedule, own, 11)
    assert {k: v for k, v in states[1][0].items() if k != "_schedulers"}.keys() == {
        k: v for k, v in states[0][0].items() if k != "_schedulers"
    }.keys()
    own = optimizer_of(ours, our_nn)
    schedule = SCHEDULES[name](ours.optim.lr_scheduler, own)
    saved_schedule = dict(states[0][0])  # torch's, into ours
    for group, saved in zip(own.param_groups, states[0][1]["param_groups"], strict=True):
        group.update({k: v for k, v in saved.items() if k != "params"})
    schedule.load_state_dict(saved_schedule)
    np.testing.assert_allclose(
        numbers(rates(schedule, own, 11)), numbers(rest), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau(mode, threshold_mode):
    metrics = np.round(np.sin(np.arange(60) / 5) + 2, 1)
    results = []
    for library, nn in BOTH:
        own = optimizer_of(library, nn)
        schedule = library.optim.lr_scheduler.ReduceLROnPlateau(
            own, mode, 0.5, 2, 0.05, threshold_mode, cooldown=3, min_lr=[0.01, 0.001]
        )
        seen = []
        for metric in metrics:
            schedule.step(library.tensor(metric))
            seen.append([g["lr"] for g in own.param_groups])
        results.append((seen, schedule.num_bad_epochs, schedule.best, set(schedule.state_dict())))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-12)
    assert results[1][1:] == results[0][1:]


def test_resuming_needs_the_initial_rate():
    own = optimizer_of(ours, our_nn)
    with pytest.raises(KeyError, match="initial_lr"):
        ours.optim.lr_scheduler.StepLR(own, 3, last_epoch=4)


def test_wrong_order_warns():
    own = optimizer_of(ours, our_nn)
    schedule = ours.optim.lr_scheduler.StepLR(own, 3)
    with pytest.warns(UserWarning, match="opposite order"):
        schedule.step()
    own.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()
