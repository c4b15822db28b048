"""From the dataset of a user to ``input_ids`` and ``labels``, and from those to batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from transformers.utils import logging

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.transformers.data.data_collator import DataCollatorMixin
from hfpaddle.trl import data_utils as data
from hfpaddle.trl.trainer.utils import IGNORED, pad

logger = logging.get_logger("trl")


@dataclass
class DataCollatorForLanguageModeling(DataCollatorMixin):
    """Make a batch of examples with ``input_ids``, and maybe ``labels`` (else the same).

    Attributes:
        pad_token_id: fills rows that are shorter than the longest; labels get -100.
        padding_free: put all examples into one row; ``position_ids`` restart at each sample (those
            that ``seq_lengths`` tells within an example), and mark what must not see each other.
        return_position_ids: give ``position_ids`` with padding too.
        pad_to_multiple_of: round the length up.
    """

    pad_token_id: int
    padding_free: bool = False
    return_position_ids: bool = False
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        ids = [example["input_ids"] for example in examples]
        labels = [example.get("labels", example["input_ids"]) for example in examples]
        if "seq_lengths" in examples[0]:
            lengths = [example["seq_lengths"] for example in examples]
        else:
            lengths = [[len(row)] for row in ids]
        positions = [np.concatenate([np.arange(n) for n in row]) for row in lengths]
        if self.padding_free:
            return self._flat(*(np.concatenate(rows) for rows in (ids, labels, positions)))
        multiple = {"pad_to_multiple_of": self.pad_to_multiple_of}
        batch = {
            "input_ids": pad(ids, self.pad_token_id, **multiple),
            "labels": pad(labels, IGNORED, **multiple),
        }
        if self.return_position_ids:
            batch["position_ids"] = pad(positions, 0, **multiple)
        batch["attention_mask"] = pad([[1] * len(row) for row in ids], 0, **multiple)
        return batch

    def _flat(self, ids: Any, labels: Any, positions: Any) -> dict[str, Any]:
        """Return one row of all tokens, with the marks of packed samples."""
        labels = np.where(positions == 0, IGNORED, labels)  # nothing comes before a first token
        filled = -len(ids) % (self.pad_to_multiple_of or 1)
        ids, labels, positions = (
            np.pad(row, (0, filled), constant_values=value)
            for row, value in ((ids, self.pad_token_id), (labels, IGNORED), (positions, 0))
        )
        starts = np.flatnonzero(positions == 0)
        bounds = np.append(starts, len(positions)).astype(np.int32)
        sizes = np.diff(bounds)
        numbers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        rows = {"input_ids": ids, "labels": labels, "position_ids": positions}
        batch: dict[str, Any] = {k: _tensor(v[None].astype(np.int64)) for k, v in rows.items()}
        batch["cu_seq_lens_q"] = batch["cu_seq_lens_k"] = _tensor(bounds)
        batch["max_length_q"] = batch["max_length_k"] = int(sizes.max())
        batch["seq_idx"] = _tensor(numbers[None])
        return batch


def _tensor(array: np.ndarray) -> paddle.Tensor:
    return paddle.to_tensor(array, place=paddle.CPUPlace())


@dataclass
class Preparation:
    """How the datasets of one trainer are prepared; see `SFTConfig`."""

    tokenizer: Any
    args: Any
    completion_only_loss: bool
    chat_template: str | None
    formatting_func: Callable | None

    def __call__(self, dataset: Any, packing: bool, name: str) -> Any:
        """Return ``dataset`` with ``input_ids`` and ``labels``, and packed with ``seq_lengths``.

        A dataset with ``input_ids`` is taken as tokenized.
        """
        columns = data.get_dataset_column_names(dataset)
        if "seq_lengths" in columns:  # packed already; once more would join its samples
            return dataset
        processed = "input_ids" in columns
        if _transforms(dataset):
            raise UnsupportedArgumentError(
                "SFTTrainer cannot prepare a dataset that uses `Dataset.with_transform()`: the "
                "result of the transform would be kept. Pass "
                "`dataset_kwargs={'skip_prepare_dataset': True}` and let the transform tokenize."
            )
        if self.formatting_func is not None and processed:
            logger.warning("formatting_func is ignored: the dataset is tokenized already.")
        if not processed:
            dataset = self._tokenized(dataset, name)
        dataset = self._labelled(dataset, name)
        if packing:
            dataset = self._packed(dataset, name)
        elif self.args.max_length is not None:
            dataset = self._truncated(dataset, name)
        if self.args.shuffle_dataset:
            dataset = dataset.shuffle(seed=self.args.seed)
        return dataset

    def _map(self, dataset: Any, description: str) -> dict[str, Any]:
        """Return further arguments of ``map``, of which streams take none."""
        from datasets import Dataset

        if not isinstance(dataset, Dataset):
            return {}
        return {"num_proc": self.args.dataset_num_proc, "desc": description}

    def _tokenized(self, dataset: Any, name: str) -> Any:
        if self.formatting_func is not None:
            further = self._map(dataset, f"Applying formatting function to {name} dataset")
            dataset = dataset.map(
                _formatted, fn_kwargs={"formatting_func": self.formatting_func}, **further
            )
        if data.is_conversational_from_value(next(iter(dataset))):
            columns = data.get_dataset_column_names(dataset)
            dataset = dataset.map(
                data.maybe_convert_to_chatml,
                remove_columns="conversations" if "conversations" in columns else None,
                **self._map(dataset, f"Converting {name} dataset to ChatML"),
            )
        text_field = self.args.dataset_text_field
        if not data.is_conversational(next(iter(dataset))):
            dataset = dataset.map(
                _ended,
                fn_kwargs={"eos_token": self.tokenizer.eos_token, "text_field": text_field},
                **self._map(dataset, f"Adding EOS to {name} dataset"),
            )
        return dataset.map(
            _tokenize_example,
            fn_kwargs={
                "tokenizer": self.tokenizer,
                "text_field": text_field,
                "assistant_only": self.args.assistant_only_loss,
                "chat_template": self.chat_template,
            },
            **self._map(dataset, f"Tokenizing {name} dataset"),
        )

    def _labelled(self, dataset: Any, name: str) -> Any:
        columns = data.get_dataset_column_names(dataset)
        if "labels" in columns:
            return dataset
        masks = ["completion_mask"] if self.completion_only_loss else []
        masks = [mask for mask in (*masks, "assistant_masks") if mask in columns]
        return dataset.map(
            _label,
            fn_kwargs={"masks": masks},
            remove_columns=masks,
            **self._map(dataset, f"Building labels for {name} dataset"),
        )

    def _truncated(self, dataset: Any, name: str) -> Any:
        length, mode = self.args.max_length, self.args.truncation_mode
        if mode not in ("keep_start", "keep_end"):
            raise ValueError(
                f"Unsupported truncation mode: {mode}, expected 'keep_start' or 'keep_end'"
            )
        part = slice(None, length) if mode == "keep_start" else slice(-length, None)
        dataset = dataset.map(
            _cut, fn_kwargs={"part": part}, **self._map(dataset, f"Truncating {name} dataset")
        )
        further = self._map(dataset, f"Dropping fully masked examples from {name} dataset")
        return dataset.filter(_is_scored, **further)

    def _packed(self, dataset: Any, name: str) -> Any:
        args = self.args
        if args.max_length is None:
            raise ValueError("When packing is enabled, `max_length` can't be `None`.")
        dataset = dataset.select_columns(["input_ids", "labels"])
        if args.shuffle_dataset:  # so that neighbours in a row are not neighbours in the data
            dataset = dataset.shuffle(seed=args.seed)
        further = self._map(dataset, f"Packing {name} dataset")
        return data.pack_dataset(dataset, args.max_length, args.packing_strategy, further)


def _transforms(dataset: Any) -> bool:
    return getattr(dataset, "format", {}).get("type") == "custom"


def _formatted(example: dict, formatting_func: Callable) -> dict:
    return {"text": formatting_func(example)}


def _ended(example: dict, eos_token: str, text_field: str) -> dict:
    """Add the end token to the text, or without one to the completion."""
    if text_field in example and not example[text_field].endswith(eos_token):
        example[text_field] += eos_token
    elif "completion" in example and not example["completion"].endswith(eos_token):
        example["completion"] += eos_token
    return example


def template_arguments(example: dict) -> dict[str, Any]:
    """Return what an example says about its rendering: tools, and arguments of the template."""
    tools = example.get("tools")
    tools = json.loads(tools) if isinstance(tools, str) else tools
    return {"tools": tools, **example.get("chat_template_kwargs", {})}


def warn_of_overlap(tokenizer: Any, rest: list[int]) -> None:
    """Say once that the end of a prompt is not part of prompt and answer."""
    logger.warning_once(  # type: ignore[attr-defined]
        "The tokenized prompt is not a prefix of the tokenized prompt and answer, so the answer "
        f"begins where they part, and this end of the prompt is left out: "
        f"{tokenizer.decode(rest)!r}. Use a chat template that renders the prompt the same way in "
        "both, or end the prompt on a token boundary. Other examples may be alike."
    )


def _tokenize_example(
    example: dict, tokenizer: Any, text_field: str, assistant_only: bool, chat_template: str | None
) -> dict:
    """Return ``input_ids``, and ``completion_mask`` or ``assistant_masks`` where they apply."""
    chat = {"chat_template": chat_template, **template_arguments(example)}
    masked = {"return_assistant_tokens_mask": assistant_only}
    spoken = data.is_conversational(example)
    output: dict[str, Any] = {}
    if "prompt" in example:
        further = chat if spoken else {}
        opened = {**further, "add_generation_prompt": True} if spoken else {}
        prompt = data._tokenize(tokenizer, example["prompt"], **opened)["input_ids"]
        whole = example["prompt"] + example["completion"]
        found = data._tokenize(tokenizer, whole, **({**chat, **masked} if spoken else {}))
        length = data.common_prefix_length(prompt, found["input_ids"])
        if length < len(prompt):
            warn_of_overlap(tokenizer, prompt[length:])
        count = len(found["input_ids"])
        output["completion_mask"] = [0] * length + [1] * (count - length)
    elif spoken:
        found = data._tokenize(tokenizer, example["messages"], **chat, **masked)
    else:
        found = data._tokenize(tokenizer, example[text_field])
    output = {"input_ids": found["input_ids"], **output}
    if spoken and "assistant_masks" in found:
        output["assistant_masks"] = found["assistant_masks"]
        if 1 not in output["assistant_masks"]:
            raise RuntimeError(
                "You're using `assistant_only_loss=True`, but at least one example has no "
                "assistant tokens. The chat template has to mark them with `{% generation %}`."
            )
    return output


def _label(example: dict, masks: list[str]) -> dict:
    """Return labels: the tokens, -100 where any of ``masks`` is 0."""
    columns = [example[mask] for mask in masks]
    rows = zip(example["input_ids"], *columns, strict=False)
    return {"labels": [token if all(bits) else IGNORED for token, *bits in rows]}


def _cut(example: dict, part: slice) -> dict:
    return {"input_ids": example["input_ids"][part], "labels": example["labels"][part]}


def _is_scored(example: dict) -> bool:
    return any(label != IGNORED for label in example["labels"])
