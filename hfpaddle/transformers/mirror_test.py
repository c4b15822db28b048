"""Which name is found where: ours, transformers' own, a stand-in, or an error."""

import importlib
import subprocess
import sys

import pytest
import transformers

import hfpaddle
import hfpaddle.transformers as mirror
from hfpaddle.core.errors import MissingFeatureError
from hfpaddle.modeling.base import PreTrainedModel

pytestmark = pytest.mark.unit

OURS = {
    "AutoModelForCausalLM": "hfpaddle.modeling.auto",
    "LlamaForCausalLM": "hfpaddle.models.llama",
    "LlamaModel": "hfpaddle.models.llama",
    "LlamaForSequenceClassification": "hfpaddle.models.llama",
    "BertForMaskedLM": "hfpaddle.models.bert",
    "BertPreTrainedModel": "hfpaddle.models.bert",
    "PreTrainedModel": "hfpaddle.modeling.base",
    "DynamicCache": "hfpaddle.layers.cache",
    "AutoTokenizer": "hfpaddle.transformers.tokenization",
}


@pytest.mark.parametrize("name", OURS)
def test_ours(name):
    for package in (mirror, hfpaddle):
        found = getattr(package, name)
        assert found.__name__ == name and found.__module__ == OURS[name]
        assert getattr(package, name) is found


@pytest.mark.parametrize(
    "name", ["LlamaConfig", "GenerationConfig", "HfArgumentParser", "TextStreamer", "BertConfig"]
)
def test_transformers_own(name):
    assert getattr(mirror, name) is getattr(transformers, name)


@pytest.mark.parametrize("name", ["WhisperModel", "BitsAndBytesConfig", "CLIPModel"])
def test_stand_in(name):
    """It imports, and every use says what is missing."""
    found = getattr(mirror, name)
    if name not in ("BitsAndBytesConfig",):
        assert isinstance(found, type) and not issubclass(found, PreTrainedModel)
    for use in (lambda: found(), lambda: found.from_pretrained("x"), lambda: found.anything):
        with pytest.raises(MissingFeatureError, match=f"transformers.{name} has no Paddle"):
            use()
    assert isinstance(MissingFeatureError(""), NotImplementedError)


@pytest.mark.parametrize(
    ("name", "near"),
    [("LlamaForCausalML", "LlamaForCausalLM"), ("AutoModelForCausalLLM", "AutoModelForCausalLM")],
)
def test_unknown(name, near):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'.*nearest: '{near}'"):
        getattr(mirror, name)
    with pytest.raises(ImportError):
        exec(f"from hfpaddle.transformers import {name}")
    assert not hasattr(mirror, "__no_such_dunder__")


def test_dir():
    names = dir(mirror)
    for name in ("LlamaForCausalLM", "AutoTokenizer", "GenerationConfig", "pipeline", "models"):
        assert name in names, name
    assert names == sorted(names)


def test_version():
    assert mirror.__version__ == transformers.__version__
    assert hfpaddle.__version__ != transformers.__version__


MODULES = {
    "models.llama.modeling_llama": "LlamaForCausalLM",
    "models.llama": "LlamaConfig",
    "models.bert.modeling_bert": "BertModel",
    "models.bert.configuration_bert": "BertConfig",
    "models.bert.tokenization_bert": "BertTokenizer",
    "models.auto.modeling_auto": "AutoModelForCausalLM",
    "models.auto.configuration_auto": "AutoConfig",
    "models.auto.tokenization_auto": "AutoTokenizer",
    "models.auto": "AutoModel",
    "modeling_outputs": "CausalLMOutputWithPast",
    "modeling_utils": "PreTrainedModel",
    "cache_utils": "DynamicCache",
    "generation": "GenerationConfig",
    "tokenization_utils_base": "BatchEncoding",
}


@pytest.mark.parametrize("path", MODULES)
def test_submodules(path):
    module = importlib.import_module(f"hfpaddle.transformers.{path}")
    assert getattr(module, MODULES[path]) is getattr(mirror, MODULES[path])
    with pytest.raises(AttributeError, match="NoSuchName"):
        module.NoSuchName  # noqa: B018
    space: dict = {}
    exec(f"from hfpaddle.transformers.{path} import {MODULES[path]}", space)
    assert space[MODULES[path]] is getattr(mirror, MODULES[path])


def test_unknown_submodule():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("hfpaddle.transformers.models.llama.modeling_lama")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("hfpaddle.transformers.no_such_module")


def test_torch_is_not_imported():
    code = "import sys, hfpaddle.transformers; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
