"""The parts of ``transformers.trainer_pt_utils`` that share one order among several processes.

They are samplers and datasets of the torch surface, which switches torch's methods on: this file
loads when a script asks for one of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hfpaddle.core import rng
from hfpaddle.torch import Generator
from hfpaddle.torch.utils.data import IterableDataset, Sampler
from hfpaddle.torch.utils.data.distributed import DistributedSampler
from hfpaddle.transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices


class DistributedSamplerWithLoop(DistributedSampler):
    """A DistributedSampler whose order begins again until the last batch is full."""

    def __init__(self, dataset: Any, batch_size: int, **kwargs: Any) -> None:
        super().__init__(dataset, **kwargs)
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[int]:
        order = list(super().__iter__())
        # DistributedSampler has repeated the beginning once already, on the processes that lacked
        # an example; these go on behind it.
        begin = int(self.rank < len(self.dataset) % self.num_replicas)
        return iter(order + order[begin : begin + -len(order) % self.batch_size])


class DistributedLengthGroupedSampler(DistributedSampler):
    """This process's part of an order in which examples of like length come together.

    Raises: ValueError without ``dataset`` and ``lengths``, or where lengths cannot be found.
    """

    def __init__(
        self, batch_size: int, dataset: Any = None, num_replicas: int | None = None,
        rank: int | None = None, seed: int = 0, drop_last: bool = False, lengths: Any = None,
        model_input_name: str | None = None,
    ) -> None:  # fmt: skip
        grouped = LengthGroupedSampler(batch_size, dataset, lengths, model_input_name)
        self.lengths, self.batch_size = list(grouped.lengths), batch_size
        super().__init__(self.lengths, num_replicas, rank, seed=seed, drop_last=drop_last)

    def __iter__(self) -> Iterator[int]:
        generator = rng.Generator().manual_seed(self.seed + self.epoch)
        order = get_length_grouped_indices(self.lengths, self.batch_size, generator=generator)
        order = (order + order[: max(0, self.total_size - len(order))])[: self.total_size]
        return iter(order[self.rank : self.total_size : self.num_replicas])


class ShardSampler(Sampler):
    """Every process's batches of the order 0, 1, 2 ..., dealt out batch by batch.

    Without ``drop_last`` the order begins again until each process has full batches.
    """

    def __init__(
        self, dataset: Any, batch_size: int = 1, drop_last: bool = False, num_processes: int = 1,
        process_index: int = 0,
    ) -> None:  # fmt: skip
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.num_processes, self.process_index = num_processes, process_index
        self.total_batch_size = batch_size * num_processes
        batches = len(dataset) / self.total_batch_size
        whole = math.floor(batches) if drop_last else math.ceil(batches)
        self.total_num_samples = whole * self.total_batch_size

    def __iter__(self) -> Iterator[int]:
        first = self.batch_size * self.process_index
        for start in range(first, self.total_num_samples, self.total_batch_size):
            yield from (i % len(self.dataset) for i in range(start, start + self.batch_size))

    def __len__(self) -> int:
        return self.total_num_samples // self.num_processes


class IterableDatasetShard(IterableDataset):
    """This process's batches of an iterable dataset, as `ShardSampler` deals them out.

    ``num_examples`` counts, once it is read, what the dataset gave to all processes. A
    ``generator`` of the dataset is seeded with ``seed + epoch``, alike on each process.
    """

    def __init__(
        self, dataset: Any, batch_size: int = 1, drop_last: bool = False, num_processes: int = 1,
        process_index: int = 0, seed: int = 0,
    ) -> None:  # fmt: skip
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.num_processes, self.process_index = num_processes, process_index
        self.seed, self.epoch, self.num_examples = seed, 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.epoch = epoch
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        self.num_examples = 0
        generator = getattr(self.dataset, "generator", None)
        if not hasattr(self.dataset, "set_epoch") and isinstance(generator, Generator):
            generator.manual_seed(self.seed + self.epoch)
        size = self.batch_size * self.num_processes
        begin = self.process_index * self.batch_size
        first: list[Any] = []
        batch: list[Any] = []
        for example in self.dataset:
            self.num_examples += 1
            batch.append(example)
            if len(batch) == size:
                yield from batch[begin : begin + self.batch_size]
                first, batch = first or batch, []
        if batch and not self.drop_last:
            first = first or list(batch)
            while len(batch) < size:
                batch += first
            yield from batch[begin : begin + self.batch_size]

    def __len__(self) -> int:
        batches = len(self.dataset) / (self.batch_size * self.num_processes)
        return (math.floor(batches) if self.drop_last else math.ceil(batches)) * self.batch_size
