"""Many inputs: which objects hold them, batches of them, and the rows that come out of a batch."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import paddle
import transformers

from hfpaddle.core.outputs import ModelOutput
from hfpaddle.transformers.pipelines.chat import Chat

# A bar for a list of at most so many items would be gone before it is read.
LONG = 10
_SINGLE = (str, bytes, Mapping, list, tuple, Chat, transformers.BatchEncoding)


def is_sized_dataset(inputs: Any) -> bool:
    """True for what has a length and is read by index, such as datasets."""
    if isinstance(inputs, (*_SINGLE, paddle.io.IterableDataset)):
        return False
    return hasattr(type(inputs), "__getitem__") and hasattr(type(inputs), "__len__")


def is_stream(inputs: Any) -> bool:
    """True for datasets, generators and other iterables that are read one item at a time."""
    if isinstance(inputs, _SINGLE):
        return False
    return is_sized_dataset(inputs) or hasattr(type(inputs), "__iter__")


def items(inputs: Any) -> Iterator:
    """Yield each input of a list, dataset or iterable."""
    if is_sized_dataset(inputs):
        return (inputs[i] for i in range(len(inputs)))
    return iter(inputs)


class Results:
    """Results of a dataset or generator, computed while they are read; each pass reads it anew."""

    def __init__(self, start: Callable[[], Iterator], source: Any) -> None:
        self._start, self._source = start, source
        self._running: Iterator | None = None

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator:
        return self._start()

    def __next__(self) -> Any:
        if self._running is None:
            self._running = self._start()
        return next(self._running)


def with_progress(results: Iterable, source: Any, progress: bool | None, task: str) -> Iterable:
    """Return ``results`` with a bar on stderr.

    Args:
        progress: None shows one for lists of more than `LONG` items where stderr is a terminal.
    """
    if progress is None:
        enabled = transformers.utils.logging.is_progress_bar_enabled() and sys.stderr.isatty()
        progress = enabled and isinstance(source, list) and len(source) > LONG
    if not progress:
        return results
    from tqdm.auto import tqdm

    total = len(source) if hasattr(type(source), "__len__") else None
    return tqdm(results, total=total, desc=task)


def batches(prepared: Iterator, size: int) -> Iterator[list]:
    """Yield lists of ``size`` items; the last may be shorter."""
    batch = []
    for item in prepared:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def check_padding(tokenizer: Any) -> None:
    """Raise ValueError if inputs of different lengths cannot be put into one batch."""
    if tokenizer is None:
        raise ValueError("Pipeline without tokenizer or feature_extractor cannot do batching")
    if tokenizer.pad_token_id is None:
        raise ValueError(
            "Pipeline with tokenizer without pad_token cannot do batching. You can try to set it "
            "with `pipe.tokenizer.pad_token_id = model.config.eos_token_id`."
        )


def collate(rows: list[Mapping], tokenizer: Any) -> dict[str, Any]:
    """Join prepared inputs, each a batch of one, into one batch.

    Tensors ``[1, S, ...]`` are padded to the longest S on the tokenizer's side; without one they
    must have one shape. Other values become lists.

    Raises: ValueError if the rows have different keys, or images different shapes.
    """
    keys = list(rows[0].keys())
    for row in rows:
        if set(row.keys()) != set(keys):
            raise ValueError(
                "The elements of the batch contain different keys. Cannot batch them "
                f"({set(row.keys())} != {set(keys)})"
            )
    if tokenizer is None:
        return {key: _join([row[key] for row in rows]) for key in keys}
    # What pads with something else than 0; masks of what to leave out pad with 1.
    fill = {"input_ids": tokenizer.pad_token_id, "p_mask": 1, "special_tokens_mask": 1}
    left = tokenizer.padding_side == "left"
    return {key: _join([row[key] for row in rows], fill.get(key, 0), left) for key in keys}


def _join(values: list, fill: int | None = None, left: bool = False) -> Any:
    if not isinstance(values[0], paddle.Tensor):
        return values
    arrays = [value.numpy() for value in values]
    if fill is None:
        shapes = sorted({array.shape[1:] for array in arrays})
        if len(shapes) > 1:
            raise ValueError(
                f"Inputs of shapes {[list(shape) for shape in shapes]} do not fit into one batch. "
                "Pass batch_size=1, or an image processor that makes them one size."
            )
    elif arrays[0].ndim > 1:
        longest = max(array.shape[1] for array in arrays)
        arrays = [_pad(array, longest, fill, left) for array in arrays]
    return paddle.to_tensor(np.concatenate(arrays), place=paddle.CPUPlace())


def _pad(array: np.ndarray, length: int, fill: int, left: bool) -> np.ndarray:
    missing = length - array.shape[1]
    widths = [(0, 0)] * array.ndim
    widths[1] = (missing, 0) if left else (0, missing)
    return np.pad(array, widths, constant_values=fill)


def rows_of(outputs: Any, count: int) -> Iterator:
    """Yield the ``count`` rows of a batch of outputs, each again a batch of one."""
    if isinstance(outputs, paddle.Tensor):
        yield from (outputs[i : i + 1] for i in range(count))
        return
    kept = {k: v for k, v in outputs.items() if k != "past_key_values"}
    for i in range(count):
        row = {key: _row(value, i) for key, value in kept.items()}
        yield _rebuilt(outputs, row) if isinstance(outputs, ModelOutput) else row


def _row(value: Any, i: int) -> Any:
    if value is None:
        return None
    if isinstance(value, (paddle.Tensor, np.ndarray)):
        return value[i : i + 1]
    if isinstance(value, ModelOutput):
        value = value.to_tuple()
    if isinstance(value, tuple) and isinstance(value[0], paddle.Tensor):
        return tuple(part[i : i + 1] for part in value)  # one tensor a layer
    return value[i]


def _rebuilt(output: ModelOutput, values: dict[str, Any]) -> ModelOutput:
    """Return an output of the same class; what is no field of it was added by a pipeline."""
    fields = {field.name for field in dataclasses.fields(output)}  # type: ignore[arg-type]
    new = type(output)(**{key: value for key, value in values.items() if key in fields})
    for key in values.keys() - fields:
        new[key] = values[key]
    return new


def moved(value: Any, place: Any) -> Any:
    """Return ``value`` with every tensor in it on ``place``; mappings become dicts."""
    if isinstance(value, paddle.Tensor):
        return value.to(place)
    if isinstance(value, ModelOutput):
        return _rebuilt(value, {key: moved(item, place) for key, item in value.items()})
    if isinstance(value, Mapping):
        return {key: moved(item, place) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(moved(item, place) for item in value)
    return value


def as_array(value: paddle.Tensor) -> np.ndarray:
    """Return a floating tensor as float32: numpy has no bfloat16."""
    return value.astype("float32").numpy()
