"""Run by test_pipelines.py beside the null device: each task on the CPU and there, same results."""

from __future__ import annotations

import math
from typing import Any

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import hfpaddle.transformers as hf

DEVICE = "nulldev:0"
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat on a mat and dog ran far".split()
TEXTS = ["the cat sat on a mat", "a dog ran", "the dog and the cat ran far"]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "vocab_size": len(WORDS),
    "initializer_range": 0.5,
}
HALF: dict[str, Any] = {"batch_size": 2}
ASK = {"question": "who ran", "context": TEXTS[2], "top_k": 3}
LABELS = {"candidate_labels": ["cat", "dog"]}
GREEDY = {"do_sample": False, "max_new_tokens": 4, "eos_token_id": 0}
TASKS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "text-classification": ("SequenceClassification", [{"inputs": TEXTS, **HALF}]),
    "token-classification": (
        "TokenClassification",
        [{"inputs": TEXTS, "aggregation_strategy": "first", **HALF}, {"inputs": TEXTS[0]}],
    ),
    "fill-mask": ("MaskedLM", [{"inputs": ["the [MASK] sat", "[MASK] [MASK] ran"], **HALF}]),
    "question-answering": (
        "QuestionAnswering",
        [ASK, {**ASK, "max_seq_len": 9, "doc_stride": 1, **HALF}],
    ),
    "feature-extraction": ("", [{"inputs": TEXTS[0]}, {"inputs": TEXTS, **HALF}]),
    "zero-shot-classification": (
        "SequenceClassification",
        [{"sequences": TEXTS, **LABELS, **HALF}],
    ),
    "text-generation": (
        "CausalLM",
        [
            {"text_inputs": TEXTS, **GREEDY, **HALF},
            {
                "text_inputs": TEXTS[0],
                "return_dict_in_generate": True,
                "output_scores": True,
                **GREEDY,
            },
        ],
    ),
}


def tokenizer() -> Any:
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    special = {f"{word[1:-1].lower()}_token": word for word in WORDS[:5]}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special)


def same(here: Any, there: Any) -> bool:
    if isinstance(here, dict):
        return here.keys() == there.keys() and all(same(here[k], there[k]) for k in here)
    if isinstance(here, list):
        return len(here) == len(there) and all(map(same, here, there))
    if isinstance(here, str) or isinstance(here, int):
        return here == there
    return math.isclose(here, there, rel_tol=1e-4, abs_tol=1e-4)


def main() -> None:
    for task, (head, calls) in TASKS.items():
        family = transformers.LlamaConfig if head == "CausalLM" else transformers.BertConfig
        auto = getattr(hf, f"AutoModelFor{head}" if head else "AutoModel")
        model = auto.from_config(family(**SIZES, num_labels=2)).eval()
        on_cpu = hf.pipeline(task, model=model, tokenizer=tokenizer(), device="cpu")
        here = [on_cpu(**call) for call in calls]
        # Without device= the model goes to the accelerator.
        pipe = hf.pipeline(task, model=model, tokenizer=tokenizer())
        assert pipe.device.type == "nulldev" and str(model._first_parameter().place) != "Place(cpu)"
        for call, expected in zip(calls, here, strict=True):
            assert same(expected, pipe(**call)), (task, call, expected, pipe(**call))
        assert hf.pipeline(task, model, tokenizer=tokenizer(), device=0).device.type == "nulldev"
        print(task)


main()
