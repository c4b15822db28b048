"""The order of prompts for groups of completions, and batches cut out of generated ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
import paddle

from hfpaddle.core import rng


class RepeatSampler:
    """Give each index ``mini_repeat_count`` times, and each batch of them ``repeat_count`` times.

    A last batch of fewer than ``batch_size`` different indices is left out.

    Args:
        data_source: what has the length.
        mini_repeat_count: times that an index comes in a row.
        batch_size: different indices in a batch.
        repeat_count: times that a batch comes in a row.
        shuffle: a new permutation in each pass, the n-th of the stream of ``seed`` in pass n.
        seed: None for the seed of the default stream.
    """

    def __init__(
        self,
        data_source: Sized,
        mini_repeat_count: int,
        batch_size: int = 1,
        repeat_count: int = 1,
        shuffle: bool = True,
        seed: int | None = None,
    ) -> None:
        self.data_source, self.num_samples = data_source, len(data_source)
        self.mini_repeat_count, self.repeat_count = mini_repeat_count, repeat_count
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Let the next pass be number ``epoch``: a resumed run goes on in its order."""
        self.epoch = epoch

    def _indices(self) -> list[int]:
        if not self.shuffle:
            return list(range(self.num_samples))
        seed = rng.initial_seed() if self.seed is None else self.seed
        generator = rng.Generator().manual_seed(seed)
        for _ in range(self.epoch):
            generator.randperm(self.num_samples)
        return generator.randperm(self.num_samples).tolist()

    def __iter__(self) -> Iterator[int]:
        indices = self._indices()
        self.epoch += 1
        for start in range(0, self.num_samples - self.batch_size + 1, self.batch_size):
            batch = indices[start : start + self.batch_size]
            for _ in range(self.repeat_count):
                for index in batch:
                    yield from [index] * self.mini_repeat_count

    def __len__(self) -> int:
        whole = self.num_samples // self.batch_size * self.batch_size
        return whole * self.mini_repeat_count * self.repeat_count


def repeat_iterable_dataset(
    dataset: Any, mini_repeat_count: int, batch_size: int = 1, repeat_count: int = 1
) -> Any:
    """Return a stream with the examples of ``dataset`` in the order of `RepeatSampler`."""

    def repeated(batch: dict[str, list]) -> dict[str, list]:
        count = len(next(iter(batch.values())))
        if count < batch_size:
            return {key: [] for key in batch}
        order = [i for i in range(count) for _ in range(mini_repeat_count)] * repeat_count
        return {key: [copy.deepcopy(values[i]) for i in order] for key, values in batch.items()}

    return dataset.map(repeated, batched=True, batch_size=batch_size)


def is_stream(dataset: Any) -> bool:
    """Tell whether ``dataset`` is, or holds, an IterableDataset of the package datasets."""
    from datasets import IterableDataset

    parts = dataset.values() if isinstance(dataset, dict) else [dataset]
    return any(isinstance(part, IterableDataset) for part in parts)


def shuffle_rows(batch: dict[str, Any]) -> dict[str, Any]:
    """Permute the rows of all tensors alike, by the default stream; the rest is handed on."""
    rows = next(v.shape[0] for v in batch.values() if isinstance(v, paddle.Tensor))
    order = rng.default_generator.randperm(rows)

    def permuted(value: Any) -> Any:
        if not isinstance(value, paddle.Tensor):
            return value
        return value.index_select(paddle.to_tensor(order, place=value.place))

    return {key: permuted(value) for key, value in batch.items()}


def split_rows(batch: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Cut the rows of all tensors into ``count`` batches; what is no tensor goes into each."""
    rows = next(v.shape[0] for v in batch.values() if isinstance(v, paddle.Tensor)) // count

    def part(value: Any, i: int) -> Any:
        return value[i * rows : (i + 1) * rows] if isinstance(value, paddle.Tensor) else value

    return [{key: part(value, i) for key, value in batch.items()} for i in range(count)]


def cut_after_end(rows: np.ndarray, ends: list[int]) -> list[list[int]]:
    """Return generated ids ``[B, C]`` as lists, each up to its first token of ``ends``."""
    found = np.isin(rows, ends)
    lengths = np.where(found.any(axis=1), found.argmax(axis=1) + 1, rows.shape[1])
    return [row[:length].tolist() for row, length in zip(rows, lengths, strict=True)]
