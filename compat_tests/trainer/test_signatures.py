"""Subclasses override methods of the Trainer: each is there, with upstream's arguments."""

from __future__ import annotations

import inspect

import pytest
import transformers

import hfpaddle.transformers as hf
from hfpaddle.transformers.trainer_surface import NEVER_CALLED

# Ours takes the Trainer first, as in transformers 4; upstream's cannot be called on one.
DIFFERENT = {"metrics_format"}
# A spelling of transformers 4 that ours still takes.
EXTRA = ["tokenizer"]
NAMES = ("Trainer", "Seq2SeqTrainer", "TrainingArguments", "Seq2SeqTrainingArguments")


def parameters(function) -> list[tuple]:
    found = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [(p.kind,) if p.kind in kinds else (p.name, p.kind, p.default) for p in found]


@pytest.mark.parametrize("name", NAMES[:2])
def test_methods_take_what_upstream_s_take(name):
    want, got = getattr(transformers, name), getattr(hf, name)
    methods = {
        n: f
        for n, f in inspect.getmembers(want, callable)
        if n == "__init__" or not n.startswith("__")
    }
    assert len(methods) > 80
    missing = {n for n in methods if not hasattr(got, n)}
    assert missing == NEVER_CALLED
    for method in set(methods) - missing - DIFFERENT:
        ours = parameters(getattr(got, method))
        if method == "__init__":
            ours = [p for p in ours if p[0] not in EXTRA]
        assert ours == parameters(methods[method]), method


@pytest.mark.parametrize("name", NAMES[2:])
def test_arguments_have_upstream_s_methods_and_properties(name):
    want, got = getattr(transformers, name), getattr(hf, name)
    public = {n for n in dir(want) if not n.startswith("_")}
    assert not public - set(dir(got))
    for method in (n for n in public if inspect.isfunction(getattr(want, n))):
        assert parameters(getattr(got, method)) == parameters(getattr(want, method)), method


def test_attributes_of_a_trainer(tmp_path):
    trainers = []
    for library in (transformers, hf):
        config = transformers.LlamaConfig(
            vocab_size=30, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2,
        )  # fmt: skip
        args = library.TrainingArguments(str(tmp_path), use_cpu=True, neftune_noise_alpha=1.0)
        trainers.append(library.Trainer(library.LlamaForCausalLM(config), args))
    want, got = trainers
    public = {n for n in dir(want) if not n.startswith("_")} - NEVER_CALLED
    assert not {n for n in public if not hasattr(got, n)}
    plain = (bool, int, float, str, type(None))
    for name in sorted(public):
        if isinstance(getattr(want, name), plain):
            same = (getattr(got, name) or None) == (getattr(want, name) or None)  # None is False
            assert same, name
    assert got.model.config.use_cache is want.model.config.use_cache is False


def test_overriding_what_is_never_called_is_told(caplog):
    class Own(hf.Trainer):
        def _wrap_model(self, model, training=True, dataloader=None):
            return model

    assert "Own._wrap_model is never called" in caplog.text
