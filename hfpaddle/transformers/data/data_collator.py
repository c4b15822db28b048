"""Mirror of ``transformers.data.data_collator``: batches of Paddle tensors.

Each class derives from upstream's, whose fields, checks and numpy branch it keeps; what upstream
does with torch is done here in numpy, drawing from the same random streams, and becomes a Paddle
tensor at the end.

Shape letters: B batch, S sequence.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import paddle
from transformers import BatchEncoding as _Encoding
from transformers.data import data_collator as upstream

from hfpaddle.core import rng
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.transformers.tokenization import BatchEncoding, to_python

InputDataClass = Any
DataCollator = Callable[[list[InputDataClass]], dict[str, Any]]
DataCollatorMixin = upstream.DataCollatorMixin
pad_without_fast_tokenizer_warning = upstream.pad_without_fast_tokenizer_warning
to_numpy = upstream.to_numpy


def as_tensor(value: Any, dtype: str | None = None) -> paddle.Tensor:
    """Return a tensor by torch's rules: Python floats are float32, arrays keep their type.

    Raises: ValueError for sequences of unequal length.
    """
    if isinstance(value, paddle.Tensor):
        return value if dtype is None else value.astype(dtype)
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], paddle.Tensor):
        stacked = paddle.stack(list(value))
        return stacked if dtype is None else stacked.astype(dtype)
    array = np.asarray(value)
    if array.dtype == np.float64 and not _holds_arrays(value):
        array = array.astype(np.float32)
    return paddle.to_tensor(array, dtype=dtype, place=paddle.CPUPlace())


def _holds_arrays(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (np.ndarray, np.generic))


def _padded(tokenizer: Any, features: Any, **kwargs: Any) -> BatchEncoding:
    """Pad by the tokenizer, ours or transformers' own, into Paddle tensors."""
    if isinstance(features, (Mapping, _Encoding)):
        features = {key: to_python(value) for key, value in features.items()}
    else:
        features = [{key: to_python(value) for key, value in f.items()} for f in features]
    batch = pad_without_fast_tokenizer_warning(tokenizer, features, return_tensors="np", **kwargs)
    data = {}
    for key, value in batch.items():
        floats = isinstance(value, np.ndarray) and value.dtype == np.float64
        data[key] = as_tensor(value.astype(np.float32) if floats else value)
    return BatchEncoding(data, encoding=getattr(batch, "encodings", None))


def _batch_ids(examples: list, tokenizer: Any, multiple: int | None = None) -> np.ndarray:
    """Return int64 ``[B, S]`` of the sequences ``examples``, padded by the tokenizer's rule."""
    arrays = [np.asarray(to_python(example), dtype=np.int64) for example in examples]
    return upstream._numpy_collate_batch(arrays, tokenizer, pad_to_multiple_of=multiple)


def _special_tokens_mask(tokenizer: Any, ids_BS: np.ndarray) -> np.ndarray:
    rows = ids_BS.tolist()
    masks = [tokenizer.get_special_tokens_mask(r, already_has_special_tokens=True) for r in rows]
    return np.array(masks, dtype=bool)


def _pad_labels(
    labels: list, length: int, pad: int, side: str, multiple: int | None = None
) -> np.ndarray:
    """Return int64 ``[B, length]``, rows filled with ``pad`` at ``side``."""
    if multiple is not None:
        length = -(-length // multiple) * multiple
    table = np.full((len(labels), length), pad, dtype=np.int64)
    for row, label in zip(table, labels, strict=True):
        values = np.asarray(to_python(label), dtype=np.int64)
        if side == "right":
            row[: len(values)] = values
        elif len(values):
            row[-len(values) :] = values
    return table


def default_data_collator(
    features: list[InputDataClass], return_tensors: str = "pt"
) -> dict[str, Any]:
    """Stack each field of ``features``; ``label`` and ``label_ids`` become ``labels``.

    Fields whose first value is None or a string are left out.
    """
    if return_tensors == "pt":
        return torch_default_data_collator(features)
    return upstream.default_data_collator(features, return_tensors)


def torch_default_data_collator(features: list[InputDataClass]) -> dict[str, Any]:
    """`default_data_collator` into Paddle tensors."""
    if not isinstance(features[0], (Mapping, _Encoding)):
        features = [vars(feature) for feature in features]
    first = features[0]
    batch: dict[str, Any] = {}
    for key in ("label", "label_ids"):
        if first.get(key) is None:
            continue
        values = [feature[key] for feature in features]
        if key == "label_ids" and isinstance(values[0], paddle.Tensor):
            batch["labels"] = paddle.stack(values)
        else:
            values = to_python(values)
            probe = values[0] if key == "label" else values[0][0]
            whole = isinstance(probe, (int, np.integer))
            batch["labels"] = as_tensor(values, "int64" if whole else "float32")
        break
    for key, value in first.items():
        if key in ("label", "label_ids") or value is None or isinstance(value, str):
            continue
        batch[key] = as_tensor([feature[key] for feature in features])
    return batch


numpy_default_data_collator = upstream.numpy_default_data_collator


class DefaultDataCollator(upstream.DefaultDataCollator):
    """`default_data_collator` as an object that remembers ``return_tensors``."""

    def __call__(self, features: list[dict[str, Any]], return_tensors: str | None = None) -> Any:
        return default_data_collator(features, return_tensors or self.return_tensors)


class DataCollatorWithPadding(upstream.DataCollatorWithPadding):
    """Pad what the tokenizer knows; ``label`` and ``label_ids`` become ``labels``."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        if self.return_tensors != "pt":
            return super().__call__(features)
        batch = _padded(
            self.tokenizer,
            features,
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
        )
        for name in ("label", "label_ids"):
            if name in batch:
                batch["labels"] = batch.pop(name)
        return batch


class DataCollatorForTokenClassification(upstream.DataCollatorForTokenClassification):
    """Pad inputs, and labels of one per token to the same length."""

    def torch_call(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        name = "label" if "label" in features[0] else "labels"
        labels = [f[name] for f in features] if name in features[0] else None
        batch = _padded(
            self.tokenizer,
            [{key: value for key, value in f.items() if key != name} for f in features],
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
        )
        if labels is not None:
            length, side = batch["input_ids"].shape[1], self.tokenizer.padding_side
            batch[name] = as_tensor(_pad_labels(labels, length, self.label_pad_token_id, side))
        return batch


class DataCollatorForMultipleChoice(upstream.DataCollatorForMultipleChoice):
    """Pad every choice of every example to one length, into ``[B, choices, S]``."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        name = "label" if "label" in examples[0] else "labels"
        choices = len(examples[0]["input_ids"])
        flat = [
            {key: value[i] for key, value in example.items() if key != name}
            for example in examples
            for i in range(choices)
        ]
        padded = _padded(
            self.tokenizer,
            flat,
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
        )
        shape = [len(examples), choices, -1]
        batch = {key: value.reshape(shape) for key, value in padded.items()}
        batch["labels"] = as_tensor([example[name] for example in examples], "int64")
        return batch


class DataCollatorForSeq2Seq(upstream.DataCollatorForSeq2Seq):
    """Pad inputs, and labels to the longest of their own; makes ``decoder_input_ids`` if it can."""

    def __call__(self, features: list[dict], return_tensors: str | None = None) -> dict[str, Any]:
        return_tensors = return_tensors or self.return_tensors
        if return_tensors != "pt":
            return super().__call__(features, return_tensors)
        name = "label" if "label" in features[0] else "labels"
        labels = [f[name] for f in features] if name in features[0] else None
        if labels is not None and all(label is None for label in labels):
            labels = None
        batch = _padded(
            self.tokenizer,
            [{key: value for key, value in f.items() if key != name} for f in features],
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
        )
        batch["labels"] = None if labels is None else self._labels(labels)
        prepare = getattr(self.model, "prepare_decoder_input_ids_from_labels", None)
        if labels is not None and prepare is not None:
            batch["decoder_input_ids"] = prepare(labels=batch["labels"])
        return batch

    def _labels(self, labels: list) -> paddle.Tensor:
        padding = getattr(self.padding, "value", self.padding)
        if padding in (False, "do_not_pad"):
            return as_tensor(to_python(labels), "int64")
        fixed = padding == "max_length" and self.max_length is not None
        length = self.max_length if fixed else max(len(label) for label in labels)
        side = self.tokenizer.padding_side
        pad, multiple = self.label_pad_token_id, self.pad_to_multiple_of
        return as_tensor(_pad_labels(labels, length, pad, side, multiple))


class DataCollatorForLanguageModeling(upstream.DataCollatorForLanguageModeling):
    """Masked or causal language modelling, with the masks that torch draws for the same seed."""

    def get_generator(self, seed: int) -> Any:
        return (
            rng.Generator().manual_seed(seed)
            if self.return_tensors == "pt"
            else (np.random.default_rng(seed))
        )

    def create_rng(self) -> None:
        """Seed the collator's own stream; a data worker adds its number to the seed."""
        worker = 0
        if multiprocessing.current_process().name != "MainProcess":
            from hfpaddle.torch.utils.data import get_worker_info

            info = get_worker_info()
            if info is None:
                raise ValueError(
                    "DataCollatorForLanguageModeling(seed=...) runs in a process that is no worker "
                    "of a DataLoader, so its stream cannot be told from the others'. Use one "
                    "process, or the workers of a DataLoader."
                )
            worker = info.id
        self.generator = self.get_generator(self.seed + worker)

    def torch_call(self, examples: list) -> dict[str, Any]:
        if self.seed is not None and self.generator is None:
            self.create_rng()
        multiple = self.pad_to_multiple_of
        if isinstance(examples[0], (Mapping, _Encoding)):
            batch: Any = _padded(self.tokenizer, examples, pad_to_multiple_of=multiple)
        else:
            batch = {"input_ids": as_tensor(_batch_ids(examples, self.tokenizer, multiple))}
        special, offsets = batch.pop("special_tokens_mask", None), batch.pop("offset_mapping", None)
        if self.mlm:
            batch["input_ids"], batch["labels"] = self.torch_mask_tokens(
                batch["input_ids"], special_tokens_mask=special, offset_mapping=offsets
            )
        else:
            labels = batch["input_ids"].numpy().copy()
            if self.tokenizer.pad_token_id is not None:
                labels[labels == self.tokenizer.pad_token_id] = -100
            batch["labels"] = as_tensor(labels)
        return batch

    def torch_mask_tokens(
        self, inputs: Any, special_tokens_mask: Any = None, offset_mapping: Any = None
    ) -> tuple[Any, Any]:
        """Return int64 ``[B, S]`` inputs with masked tokens, and labels, -100 elsewhere."""
        ids_BS = to_numpy(inputs).copy()
        labels_BS = ids_BS.copy()
        if special_tokens_mask is None:
            special_tokens_mask = _special_tokens_mask(self.tokenizer, labels_BS)
        keep_BS = to_numpy(special_tokens_mask).astype(bool)
        words_BS = None
        if self.whole_word_mask:
            words_BS, keep_BS = self._calc_word_ids_and_prob_mask(
                to_numpy(offset_mapping), to_numpy(special_tokens_mask)
            )
        chance_BS = np.full(ids_BS.shape, self.mlm_probability, dtype=np.float32)
        chance_BS[keep_BS] = 0.0
        source = self.generator or rng.default_generator
        masked_BS = source.bernoulli(chance_BS)
        if words_BS is not None:
            masked_BS = self._whole_word_mask(words_BS, masked_BS)
        labels_BS[~masked_BS] = -100

        def draw(probability: float) -> np.ndarray:
            return source.bernoulli(np.full(ids_BS.shape, probability, dtype=np.float32))

        replaced_BS = draw(self.mask_replace_prob) & masked_BS
        ids_BS[replaced_BS] = self.tokenizer.convert_tokens_to_ids(self.tokenizer.mask_token)
        if self.mask_replace_prob != 1 and self.random_replace_prob != 0:
            rest = self.random_replace_prob / (1 - self.mask_replace_prob)
            random_BS = draw(rest) & masked_BS & ~replaced_BS
            words = source.randint(0, len(self.tokenizer), ids_BS.shape)
            ids_BS[random_BS] = words[random_BS]
        return as_tensor(ids_BS), as_tensor(labels_BS)


class DataCollatorForWholeWordMask(DataCollatorForLanguageModeling):
    """``DataCollatorForLanguageModeling(whole_word_mask=True)`` by its name before 5.3."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            "DataCollatorForWholeWordMask is deprecated: use DataCollatorForLanguageModeling with "
            "whole_word_mask=True.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(*args, **kwargs)
        self.mlm = self.whole_word_mask = True


class DataCollatorForPermutationLanguageModeling(
    upstream.DataCollatorForPermutationLanguageModeling
):
    """Spans to predict and an order of prediction, as XLNet trains."""

    def torch_call(self, examples: list) -> dict[str, Any]:
        if isinstance(examples[0], (Mapping, _Encoding)):
            examples = [example["input_ids"] for example in examples]
        names = ("input_ids", "perm_mask", "target_mapping", "labels")
        batch = self.torch_mask_tokens(as_tensor(_batch_ids(examples, self.tokenizer)))
        return dict(zip(names, batch, strict=True))

    def torch_mask_tokens(self, inputs: Any) -> tuple[Any, Any, Any, Any]:
        """Return inputs ``[B, S]``, perm_mask and target_mapping ``[B, S, S]``, labels ``[B, S]``.

        Raises: ValueError without a mask token, or for an odd S.
        """
        if self.tokenizer.mask_token is None:
            raise ValueError(
                "DataCollatorForPermutationLanguageModeling: the tokenizer has no mask token. Add "
                "one, or use another collator."
            )
        ids_BS = to_numpy(inputs).copy()
        rows, length = ids_BS.shape
        if length % 2:
            raise ValueError(
                f"DataCollatorForPermutationLanguageModeling: the length {length} must be even, so "
                "that its halves can be permuted apart. Pad to a multiple of 2."
            )
        labels_BS = ids_BS.copy()
        masked_BS = np.stack([self._spans(length) for _ in range(rows)])
        special_BS = _special_tokens_mask(self.tokenizer, labels_BS)
        padding_BS = np.zeros_like(special_BS)
        if self.tokenizer.pad_token is not None:
            padding_BS = labels_BS == self.tokenizer.pad_token_id
        masked_BS &= ~(special_BS | padding_BS)
        functional_BS = special_BS | padding_BS
        ids_BS[masked_BS] = self.tokenizer.mask_token_id
        labels_BS[~masked_BS] = -100
        perm_BSS = np.zeros((rows, length, length), dtype=np.float32)
        for b in range(rows):
            order_S = self._order(length)
            order_S[~masked_BS[b] & ~functional_BS[b]] = -1
            perm_BSS[b] = (order_S[:, None] <= order_S[None, :]) & masked_BS[b]
        target_BSS = np.broadcast_to(np.eye(length, dtype=np.float32), perm_BSS.shape).copy()
        return tuple(as_tensor(v) for v in (ids_BS, perm_BSS, target_BSS, labels_BS))

    def _spans(self, length: int) -> np.ndarray:
        """Draw the masked spans of one sequence: bool ``[S]``."""
        masked_S, start = np.zeros(length, dtype=bool), 0
        draw = rng.default_generator.randint
        while start < length:
            span = int(draw(1, self.max_span_length + 1, 1)[0])
            context = int(span / self.plm_probability)
            first = start + int(draw(0, context - span + 1, 1)[0])
            masked_S[first : first + span] = True
            start += context
        return masked_S

    @staticmethod
    def _order(length: int) -> np.ndarray:
        """Draw a factorisation order whose halves are permuted alike: int64 ``[S]``."""
        halves = np.arange(length).reshape(-1, length // 2).T
        return halves[rng.default_generator.randperm(length // 2)].T.flatten()


class DataCollatorWithFlattening(upstream.DataCollatorWithFlattening):
    """Join the sequences of a batch into one row ``[1, tokens]``, without padding.

    ``position_ids`` restart with each sequence; models keep attention within them.
    """

    def __call__(
        self, features: list, return_tensors: str | None = None, separator_id: int | None = None
    ) -> dict[str, Any]:
        wanted = return_tensors or self.return_tensors
        if wanted not in ("pt", "np"):
            raise UnsupportedArgumentError(
                f"DataCollatorWithFlattening(return_tensors={wanted!r}): only 'pt' and 'np' exist."
            )
        batch = super().__call__(features, return_tensors="np", separator_id=separator_id)
        if wanted == "np":
            return batch
        return {k: as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}
