"""Which class stands for which model_type and name."""

import pytest

from hfpaddle.core.errors import UnsupportedModelError
from hfpaddle.modeling import registry
from hfpaddle.models import llama

pytestmark = pytest.mark.unit


def test_families_are_the_files():
    known = registry.families()
    assert known["llama"] == "hfpaddle.models.llama" and "xlm_roberta" in known
    assert not any(name.endswith("_test") for name in known)
    assert registry.family_module("xlm-roberta") is registry.family_module("xlm_roberta")


def test_auto_model_class():
    find = registry.auto_model_class
    assert find("AutoModelForCausalLM", "llama") is llama.LlamaForCausalLM
    assert find("AutoModel", "llama").__name__ == "LlamaModel"
    assert registry.class_name("AutoModelForMaskedLM", "llama") is None
    with pytest.raises(UnsupportedModelError, match="it has .*AutoModelForCausalLM"):
        find("AutoModelForMaskedLM", "llama")
    with pytest.raises(UnsupportedModelError, match=r"nearest: 'llama'"):
        find("AutoModel", "lama")
    with pytest.raises(UnsupportedModelError, match="hfpaddle models"):
        find("AutoModel", "zzz")


def test_find_class():
    assert registry.find_class("LlamaForCausalLM") is llama.LlamaForCausalLM
    assert registry.find_class("LlamaForTokenClassification").__module__ == "hfpaddle.models.llama"
    assert registry.find_class("BertPreTrainedModel").__name__ == "BertPreTrainedModel"
    assert registry.find_class("WhisperModel") is None
    assert registry.find_class("LlamaNothing") is None


def test_every_family_has_a_main_class():
    for name in registry.families():
        module = registry.family_module(name)
        owners = [c for c in vars(module).values() if getattr(c, "model_type", None)]
        assert any(c.model_type.replace("-", "_") == name for c in owners), name
