"""Every Python block of the documentation runs, with small models for the named ones."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import harness
import pytest
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import hfpaddle.models
from hfpaddle.modeling import registry
from hfpaddle.transformers import AutoModelForCausalLM, AutoModelForMaskedLM

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/quick-start.md", "docs/generation.md", "docs/loading.md",
         "docs/training.md", "docs/peft.md")  # fmt: skip
WORDS = "<pad> <s> </s> <unk> [MASK] The the sea is a paddle capital of France good bad one another"


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def save_tokenizer(folder: Path) -> int:
    """Write a word-level tokenizer with a chat template; return the size of its vocabulary."""
    vocab = {word: i for i, word in enumerate(WORDS.split())}
    backend = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="[MASK]",
        cls_token="<s>",
        sep_token="</s>",
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    return len(vocab)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, str]:
    """Folders of tiny models for the names that the documentation uses."""
    folder = tmp_path_factory.mktemp("small")
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
    }
    decoder, encoder = folder / "decoder", folder / "encoder"
    vocab = save_tokenizer(decoder)
    save_tokenizer(encoder)
    llama = transformers.LlamaConfig(vocab_size=vocab, bos_token_id=1, eos_token_id=2, **sizes)
    bert = transformers.BertConfig(vocab_size=vocab, **sizes)
    AutoModelForCausalLM.from_config(llama).save_pretrained(decoder)
    AutoModelForMaskedLM.from_config(bert).save_pretrained(encoder)
    return {"Qwen/Qwen3-0.6B": str(decoder), "google-bert/bert-base-uncased": str(encoder)}


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page, small, tmp_path):
    found = blocks(page, "python")
    for block in found:
        for name, folder in small.items():
            block = block.replace(f'"{name}"', repr(folder))
        script = tmp_path / "block.py"
        script.write_text(block)
        done = subprocess.run(
            [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    assert found


@pytest.fixture
def arcee(tmp_path, monkeypatch):
    """The family of docs/add-a-model.md, found as a file of the models folder would be."""
    family, test = blocks("docs/add-a-model.md", "python")
    (tmp_path / "arcee.py").write_text(family)
    (tmp_path / "arcee_case.py").write_text(test)
    monkeypatch.setattr(hfpaddle.models, "__path__", [*hfpaddle.models.__path__, str(tmp_path)])
    monkeypatch.setattr(harness, "REPORTS", tmp_path / "reports")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.families.cache_clear()
    registry._owners.cache_clear()
    yield importlib.import_module("arcee_case")
    registry.families.cache_clear()
    registry._owners.cache_clear()
    for name in ("arcee_case", "hfpaddle.models.arcee"):
        sys.modules.pop(name, None)


def test_the_added_model_equals_the_original(arcee, tmp_path):
    for bias in (True, False):
        arcee.test_arcee(bias, tmp_path / str(bias))
    for head in ("SequenceClassification", "TokenClassification", "QuestionAnswering"):
        arcee.test_arcee_heads(head, tmp_path / head)


@pytest.mark.parametrize("page", ["docs/add-a-model.md", "CONTRIBUTING.md"])
def test_commands_name_files_that_exist(page):
    commands = [
        shlex.split(line, comments=True) for b in blocks(page, "bash") for line in b.splitlines()
    ]
    assert commands
    for command in filter(None, commands):
        for word in command:
            if word.startswith(("compat_tests/", "hfpaddle/", "benchmarks/")):
                assert (ROOT / word).exists(), word
        if command[0] == "make":
            assert re.search(rf"^{command[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_inert_arguments_are_listed():
    from hfpaddle.modeling.loading import INERT

    page = (ROOT / "docs/differences.md").read_text()
    assert [name for name in INERT if f"`{name}`" not in page] == []
