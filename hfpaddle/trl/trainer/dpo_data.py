"""From pairs of answers to token ids, and from those to batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import paddle

from hfpaddle.transformers.data.data_collator import DataCollatorMixin
from hfpaddle.trl import data_utils as data
from hfpaddle.trl.trainer.sft_data import template_arguments, warn_of_overlap
from hfpaddle.trl.trainer.utils import pad

REFERENCE = ("ref_chosen_logps", "ref_rejected_logps")


@dataclass
class DataCollatorForPreference(DataCollatorMixin):
    """Make a batch of all chosen answers behind their prompts, then all rejected ones.

    ``completion_mask`` tells the answers' tokens; ``ref_chosen_logps`` and ``ref_rejected_logps``
    are handed on.
    """

    pad_token_id: int
    max_length: int | None = None
    truncation_mode: str = "keep_start"
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        if self.truncation_mode not in ("keep_start", "keep_end"):
            raise ValueError(
                f"Unsupported truncation mode: {self.truncation_mode}, expected 'keep_start' or "
                "'keep_end'"
            )
        part = slice(None)
        if self.max_length is not None:
            start = self.truncation_mode == "keep_start"
            part = slice(None, self.max_length) if start else slice(-self.max_length, None)
        pairs = [(e["prompt_ids"], e[key]) for key in _ANSWERS for e in examples]
        ids = [(prompt + answer)[part] for prompt, answer in pairs]
        answers = [([0] * len(prompt) + [1] * len(answer))[part] for prompt, answer in pairs]
        multiple = {"pad_to_multiple_of": self.pad_to_multiple_of}
        batch = {
            "input_ids": pad(ids, self.pad_token_id, **multiple),
            "attention_mask": pad([[1] * len(row) for row in ids], 0, **multiple),
            "completion_mask": pad(answers, 0, **multiple),
        }
        for key in REFERENCE:
            if key in examples[0]:
                batch[key] = paddle.to_tensor([e[key] for e in examples], dtype="float32")
        return batch


_ANSWERS = ("chosen_ids", "rejected_ids")


def map_arguments(dataset: Any, args: Any, description: str) -> dict[str, Any]:
    """Return further arguments of ``map``, of which streams take none."""
    from datasets import Dataset

    if not isinstance(dataset, Dataset):
        return {}
    return {"num_proc": args.dataset_num_proc, "desc": description}


def prepare(dataset: Any, tokenizer: Any, args: Any, name: str) -> Any:
    """Return ``dataset`` with ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``.

    Prompts that fill ``max_length`` are dropped where the end would be cut off. A dataset that has
    these columns is taken as it is.
    """
    columns = data.get_dataset_column_names(dataset)
    if {"prompt_ids", *_ANSWERS} <= set(columns):
        return dataset
    if "prompt" not in next(iter(dataset)):
        further = map_arguments(dataset, args, f"Extracting prompt from {name} dataset")
        dataset = dataset.map(data.extract_prompt, **further)
    if not data.is_conversational(next(iter(dataset))):
        further = map_arguments(dataset, args, f"Adding EOS to {name} dataset")
        dataset = dataset.map(end_answers, fn_kwargs={"eos_token": tokenizer.eos_token}, **further)
    dataset = dataset.map(
        _tokenize_pair,
        fn_kwargs={"tokenizer": tokenizer},
        **map_arguments(dataset, args, f"Tokenizing {name} dataset"),
    )
    if args.max_length is not None and args.truncation_mode == "keep_start":
        further = map_arguments(dataset, args, f"Dropping fully truncated examples from {name}")
        if further:
            further["desc"] += " dataset"
        dataset = dataset.filter(_fits, fn_kwargs={"room": args.max_length}, **further)
    return dataset


def end_answers(example: dict, eos_token: str) -> dict:
    """Add the end token to both answers where it is not there."""
    for key in ("chosen", "rejected"):
        if not example[key].endswith(eos_token):
            example[key] += eos_token
    return example


def _tokenize_pair(example: dict, tokenizer: Any) -> dict:
    spoken = data.is_conversational(example)
    chat = template_arguments(example) if spoken else {}
    opened = {**chat, "add_generation_prompt": True} if spoken else {}
    prompt = data._tokenize(tokenizer, example["prompt"], **opened)["input_ids"]
    chosen, rejected = (
        data._tokenize(tokenizer, example["prompt"] + example[key], **chat)["input_ids"]
        for key in ("chosen", "rejected")
    )
    length = min(data.common_prefix_length(prompt, ids) for ids in (chosen, rejected))
    if length < len(prompt):
        warn_of_overlap(tokenizer, prompt[length:])
    return {
        "prompt_ids": prompt[:length],
        "chosen_ids": chosen[length:],
        "rejected_ids": rejected[length:],
    }


def _fits(example: dict, room: int) -> bool:
    return len(example["prompt_ids"]) < room
