"""A search over hyperparameters, with a module that stands for optuna."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

import pytest

import hfpaddle.transformers as hf
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.transformers.trainer_test import Rows, losses, make, model  # noqa: F401

pytestmark = pytest.mark.unit


class TrialPruned(Exception):
    """A trial that the study gives up."""


class Trial:
    def __init__(self, study, number, rate):
        self.study, self.number, self.rate = study, number, rate
        self.params, self.reports, self.value, self.values = {}, [], None, None

    def suggest_float(self, name, low, high, log=False):
        self.params[name] = self.rate
        return self.rate

    def report(self, value, step):
        self.reports.append((step, value))

    def should_prune(self):
        return self.number in self.study.prunes and len(self.reports) == 2


class Study:
    """Tries the rates in order."""

    rates = (1e-5, 1e-2, 1e-3)
    prunes: tuple[int, ...] = ()

    def __init__(self, direction=None, directions=None, study_name=None):
        self.direction, self.directions, self.name = direction, directions, study_name
        self.trials = []

    def _is_multi_objective(self):
        return self.directions is not None

    def optimize(self, objective, n_trials, catch=()):
        for number in range(n_trials):
            trial = Trial(self, number, self.rates[number])
            self.trials.append(trial)
            try:
                value = objective(trial)
            except TrialPruned:
                continue
            if self.directions is None:
                trial.value = value
            else:
                trial.values = value

    @property
    def best_trial(self):
        pick = min if self.direction == "minimize" else max
        return pick((t for t in self.trials if t.value is not None), key=lambda t: t.value)

    @property
    def best_trials(self):
        return self.trials


@pytest.fixture
def optuna(monkeypatch):
    module = types.ModuleType("optuna")
    module.__spec__ = importlib.machinery.ModuleSpec("optuna", None)
    module.made = []

    def create_study(**kwargs):
        module.made.append(Study(**kwargs))
        return module.made[-1]

    module.create_study, module.TrialPruned = create_study, TrialPruned
    module.trial = types.SimpleNamespace(BaseTrial=Trial)
    monkeypatch.setitem(sys.modules, "optuna", module)
    return module


def space(trial):
    return {"learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)}


def searching(make, **kwargs):  # noqa: F811
    settings = {"eval_dataset": Rows(4, seed=1), "eval_strategy": "steps", "eval_steps": 1}
    return make(model_init=model, **{**settings, **kwargs})


def test_the_best_trial_is_found(make, optuna):  # noqa: F811
    trainer = searching(make, save_strategy="steps", save_steps=3)
    best = trainer.hyperparameter_search(
        space, n_trials=3, study_name="mine", hp_name=lambda trial: f"try-{trial.number}"
    )
    (study,) = optuna.made
    assert study.name == "mine" and best.run_id == "1"
    assert best.hyperparameters == {"learning_rate": 1e-2}
    values = [t.value for t in study.trials]
    assert best.objective == min(values) and len(set(values)) == 3
    assert [[step for step, _ in t.reports] for t in study.trials] == [[1, 2, 3]] * 3
    assert all(t.reports[-1][1] == t.value for t in study.trials)
    assert trainer.args.learning_rate == 1e-3  # of the last trial, as upstream
    for number in range(3):
        assert Path(trainer.args.output_dir, f"try-{number}", "checkpoint-3").is_dir()
    alone = make(model_init=model, learning_rate=1e-2)
    alone.train()
    trainer.args.learning_rate = 1e-2
    trainer.train()
    assert losses(trainer) == losses(alone)
    assert trainer.hp_search_backend is None


def test_trials_are_given_up(make, optuna, monkeypatch):  # noqa: F811
    monkeypatch.setattr(Study, "prunes", (1,))
    best = searching(make).hyperparameter_search(space, n_trials=2, direction="maximize")
    assert best.run_id == "0" and [len(t.reports) for t in optuna.made[0].trials] == [3, 2]


def test_several_objectives(make, optuna):  # noqa: F811
    trainer = searching(make, eval_strategy="no")
    best = trainer.hyperparameter_search(
        space,
        n_trials=2,
        direction=["minimize", "maximize"],
        compute_objective=lambda metrics: (metrics["eval_loss"], -metrics["eval_loss"]),
    )
    assert [b.run_id for b in best] == ["0", "1"]
    assert all(b.objective[0] == -b.objective[1] > 0 for b in best)


def test_the_model_may_ask_the_trial(make, optuna):  # noqa: F811
    seen = []

    def asked(trial):
        seen.append(getattr(trial, "number", None))
        return model()

    trainer = make(model_init=asked, eval_dataset=Rows(4))
    trainer.hyperparameter_search(space, n_trials=2)
    assert seen == [None, 0, 1]
    with pytest.raises(RuntimeError, match="0 or 1 argument"):
        make(model_init=lambda one, two: model())


def test_unknown_fields_are_told(make, optuna, caplog):  # noqa: F811
    trainer = searching(make)
    hf.logging.get_logger("transformers.trainer").addHandler(caplog.handler)
    trainer.hyperparameter_search(lambda trial: {"speed": 1, "seed": "7"}, n_trials=1)
    assert "speed is no field" in caplog.text
    assert trainer.args.seed == 7


def test_what_a_search_needs(make, optuna, monkeypatch):  # noqa: F811
    with pytest.raises(RuntimeError, match="model_init"):
        make().hyperparameter_search(space)
    with pytest.raises(UnsupportedArgumentError, match="'ray'.*optuna"):
        searching(make).hyperparameter_search(space, backend="ray")
    monkeypatch.delitem(sys.modules, "optuna")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None)
    with pytest.raises(RuntimeError, match="pip install optuna"):
        searching(make).hyperparameter_search(space)
    with pytest.raises(RuntimeError, match="pip install optuna"):
        searching(make).hyperparameter_search(space, backend="optuna")
