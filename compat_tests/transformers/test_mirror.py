"""The mirror where torch is present too: nothing of either is imported needlessly, or patched."""

import pytest
from folders import run

# transformers' configs import torch and parts of transformers that need it, where it is installed.
# Nothing more may come.
CHILD = """
import sys
import hfpaddle.transformers as mirror
assert "torch" not in sys.modules, "importing the mirror imported torch"
import transformers
transformers.LlamaConfig, transformers.BertConfig, transformers.GPT2Config
transformers.GenerationConfig, transformers.AutoTokenizer, transformers.BertTokenizer
before = set(sys.modules)
for name in %s:
    value = getattr(mirror, name)
    assert value.__name__ == name, (name, value)
    assert not hasattr(value, "from_pretrained") or value.__module__.startswith("hfpaddle"), name
for name in set(sys.modules) - before:
    last = name.rpartition(".")[2]
    needs_torch = name.startswith("transformers.") and (
        last.startswith("modeling_") and last != "modeling_auto"
        or last in ("cache_utils", "pytorch_utils", "masking_utils", "logits_process")
    )
    assert not needs_torch, name
    assert name.split(".")[0] not in ("torch", "accelerate", "peft", "diffusers"), name
"""
MODELS = ["LlamaForCausalLM", "BertForMaskedLM", "AutoModelForCausalLM", "GPT2LMHeadModel",
          "PreTrainedModel", "AutoTokenizer", "BertTokenizer", "AutoConfig"]  # fmt: skip
OTHERS = ["DynamicCache", "StoppingCriteriaList", "LogitsProcessorList", "TextStreamer", "pipeline",
          "BatchEncoding", "set_seed"]  # fmt: skip


@pytest.mark.parametrize("names", [MODELS, OTHERS], ids=["models", "others"])
def test_torch_stays_out(names):
    run(CHILD % names)


SUBMODULES = """
import sys
from hfpaddle.transformers.models.llama.modeling_llama import LlamaForCausalLM, LlamaModel
from hfpaddle.transformers.models.bert.modeling_bert import BertModel
from hfpaddle.transformers.models.bert.tokenization_bert import BertTokenizer
from hfpaddle.transformers.models.llama.configuration_llama import LlamaConfig
from hfpaddle.transformers.models.llama import LlamaForCausalLM as same
from hfpaddle.transformers.models.auto import AutoModelForCausalLM
from hfpaddle.transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from hfpaddle.transformers.modeling_outputs import CausalLMOutputWithPast
from hfpaddle.transformers.modeling_utils import PreTrainedModel
from hfpaddle.transformers.cache_utils import DynamicCache
from hfpaddle.transformers.tokenization_utils_base import BatchEncoding
from hfpaddle.transformers.generation import GenerationConfig
import hfpaddle.transformers.models.llama.modeling_llama as module
assert module.LlamaForCausalLM is same is LlamaForCausalLM
import transformers
assert LlamaConfig is transformers.LlamaConfig and issubclass(LlamaForCausalLM, PreTrainedModel)
assert "transformers.models.llama.modeling_llama" not in sys.modules
# The original, afterwards, in the same process.
theirs = transformers.LlamaForCausalLM
assert theirs.__module__ == "transformers.models.llama.modeling_llama" and theirs is not same
import transformers.models.llama.modeling_llama as original
assert original.LlamaForCausalLM is theirs and "torch" in sys.modules
assert module.LlamaForCausalLM is same
"""


def test_submodules_beside_the_original():
    run(SUBMODULES)


def test_every_name_resolves():
    """Each name upstream exports is ours, upstream's own, or a stand-in; none fails to import."""
    code = """
import transformers
import hfpaddle.transformers as mirror
from hfpaddle.core.errors import MissingFeatureError
kinds = {"ours": 0, "theirs": 0, "missing": 0}
for name in transformers._class_to_module:
    value = getattr(mirror, name)
    if type(value).__name__ == "StandIn":
        kinds["missing"] += 1
        for use in (lambda: value(), lambda: value.from_pretrained("x")):
            try:
                use()
                raise AssertionError(name)
            except MissingFeatureError as error:
                assert name in str(error)
    else:
        ours = str(getattr(value, "__module__", "")).startswith("hfpaddle")
        kinds["ours" if ours else "theirs"] += 1
        if not ours and isinstance(value, type):
            assert not any(b.__module__.startswith("torch") for b in value.__mro__), name
assert kinds["ours"] > 300 and kinds["theirs"] > 500, kinds
print(kinds)
"""
    assert "ours" in run(code).stdout
