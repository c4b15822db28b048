"""Mirror of ``accelerate.data_loader``: loaders that know their last batch and their position.

A prepared loader wraps the one it was given and reads one batch ahead. It remembers the random
streams from which the epoch's order and the batch ahead were drawn, so that `load_state` followed
by `skip_first_batches` goes on with the same batches to the last bit.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Iterator
from typing import Any

import paddle

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.state import GradientState
from hfpaddle.accelerate.utils.operations import ignorant_find_batch_size, send_to_device
from hfpaddle.accelerate.utils.random import get_rng_states, set_rng_states
from hfpaddle.core.errors import UnsupportedArgumentError

_DONE = object()


class SkipBatchSampler:
    """A batch sampler without its first ``skip_batches`` batches."""

    def __init__(self, batch_sampler: Any, skip_batches: int = 0) -> None:
        self.batch_sampler = batch_sampler
        self.skip_batches = skip_batches

    def __iter__(self) -> Iterator[Any]:
        for index, samples in enumerate(self.batch_sampler):
            if index >= self.skip_batches:
                yield samples

    def __len__(self) -> int:
        return len(self.batch_sampler) - self.skip_batches

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "batch_sampler":
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    @property
    def total_length(self) -> int:
        return len(self.batch_sampler)


class SeedableRandomSampler:
    """A random order that depends on the seed and the epoch alone."""

    def __init__(self, sampler: Any, data_seed: int | None = None) -> None:
        from hfpaddle import torch

        self.sampler = sampler
        if getattr(sampler, "generator", None) is None:
            sampler.generator = torch.Generator()
        self.epoch = 0
        self.initial_seed = torch.initial_seed() if data_seed is None else data_seed

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        self.sampler.generator.manual_seed(self.epoch + self.initial_seed)
        yield from self.sampler
        self.set_epoch(self.epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def _generators(loader: Any) -> list[Any]:
    """The generators of a loader's own, in a fixed order."""
    found: list[Any] = []
    sampler = getattr(loader, "batch_sampler", None)
    for holder in (loader, getattr(loader, "sampler", None), sampler):
        while holder is not None:
            generator = getattr(holder, "generator", None)
            if hasattr(generator, "get_state") and not any(generator is g for g in found):
                found.append(generator)
            inner = holder.__dict__ if hasattr(holder, "__dict__") else {}
            holder = inner.get("sampler") or inner.get("batch_sampler")
    return found


class Position:
    """Where a loader stands; a loader and those made of it by `skip_first_batches` share one.

    Attributes:
        iteration: epochs done.
        batches: batches of this epoch handed out.
        epoch_start, ahead: random streams before the epoch's order, and before the batch ahead.
        pending: set by `load_state` until `skip_first_batches` takes it up.
    """

    def __init__(self) -> None:
        self.iteration = self.batches = 0
        self.epoch_start: dict[str, Any] | None = None
        self.ahead: dict[str, Any] | None = None
        self.pending = False


class DataLoaderShard:
    """What ``prepare`` makes of a loader: batches on the device, and the end known in time.

    Attributes:
        end_of_dataloader: the batch at hand is the last.
        remainder: items of the last batch beyond full ones; -1 where the length is unknown. Of
            dispatched batches, the size of the last, and -1 until it is read.
    """

    def __init__(
        self,
        base_dataloader: Any,
        device: Any = None,
        non_blocking: bool = False,
        dispatch: bool = False,
    ) -> None:
        self.base_dataloader = base_dataloader
        self._dispatch = dispatch
        self.device = device
        self.gradient_state = GradientState()
        self.position = Position()
        self.skip_batches = 0
        self.end_of_dataloader = False
        self.remainder = -1
        self._non_blocking = non_blocking
        self._discarded = 0
        self._resume = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "base_dataloader":
            raise AttributeError(name)
        return getattr(self.base_dataloader, name)

    @property
    def __class__(self) -> type:  # isinstance(x, DataLoader) holds, as upstream
        base = self.__dict__.get("base_dataloader")
        return type(self) if base is None else type(base)

    def __len__(self) -> int:
        return len(self.base_dataloader)

    @property
    def iteration(self) -> int:
        return self.position.iteration

    def _snapshot(self) -> dict[str, Any]:
        own = [g.get_state().clone() for g in _generators(self.base_dataloader)]
        return {**get_rng_states(), "own": own}

    def _restore(self, states: dict[str, Any]) -> None:
        set_rng_states(states)
        for generator, state in zip(_generators(self.base_dataloader), states["own"], strict=True):
            generator.set_state(state)

    def _begin(self) -> None:
        self.end_of_dataloader, self.remainder = False, -1
        with contextlib.suppress(Exception):  # a dataset without a length has no remainder
            if not self.base_dataloader.drop_last and not self._dispatch:
                self.remainder = self.total_dataset_length % self.total_batch_size
        self.gradient_state._add_dataloader(self)

    def _open(self) -> tuple[Iterator[Any], Any]:
        """Start an epoch, or go on where `load_state` left off; return the first batch too."""
        position = self.position
        resumed, self._resume = self._resume, False
        now = get_rng_states()
        if resumed and position.epoch_start is not None:
            self._restore(position.epoch_start)
        position.epoch_start = self._snapshot()
        batches = iter(self.base_dataloader)
        if not resumed:
            position.batches = self._discarded
            position.ahead = self._snapshot()
            return batches, next(batches, _DONE)
        # The saved epoch's order, its batches up to the saved one, and the one that was read ahead.
        for _ in range(self.skip_batches):
            next(batches, _DONE)
        if position.ahead is not None:
            set_rng_states(position.ahead)
        first = next(batches, _DONE)
        set_rng_states(now)
        return batches, first

    def __iter__(self) -> Iterator[Any]:
        self._begin()
        self.set_epoch(self.iteration)
        try:
            skipped = 0 if self._resume else self.skip_batches
            batches, current = self._open()
            while skipped and current is not _DONE:
                skipped, current = skipped - 1, next(batches, _DONE)
            while current is not _DONE:
                if self.device is not None:
                    current = send_to_device(current, self.device, self._non_blocking)
                ahead = self._snapshot()
                following = next(batches, _DONE)
                self.end_of_dataloader = following is _DONE
                if self._dispatch and self.end_of_dataloader:
                    # As upstream, which learns here what the main process has read last.
                    self.remainder = ignorant_find_batch_size(current) or -1
                self.position.ahead = ahead
                self.position.batches += 1
                yield current
                current = following
        finally:
            self.gradient_state._remove_dataloader(self)
        self.position.iteration += 1
        self.position.batches, self.position.epoch_start = 0, None

    def set_epoch(self, epoch: int) -> None:
        """Tell samplers and dataset which epoch it is."""
        self.position.iteration = epoch
        holder = getattr(self.base_dataloader, "batch_sampler", None)
        while holder is not None:
            inner = getattr(holder, "__dict__", {})
            if not isinstance(holder, SkipBatchSampler) and hasattr(holder, "set_epoch"):
                holder.set_epoch(epoch)
            holder = inner.get("batch_sampler") or inner.get("sampler")
        if hasattr(self.base_dataloader.dataset, "set_epoch"):
            self.base_dataloader.dataset.set_epoch(epoch)

    @property
    def total_batch_size(self) -> int:
        return self.base_dataloader.batch_sampler.batch_size

    @property
    def total_dataset_length(self) -> int:
        dataset = self.base_dataloader.dataset
        return dataset.total_length if hasattr(dataset, "total_length") else len(dataset)

    def state_dict(self) -> dict[str, Any]:
        """Return the position, as plain data."""
        return {k: v for k, v in vars(self.position).items() if k != "pending"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a position; `skip_first_batches` with its number of batches goes on from it."""
        vars(self.position).update(state_dict)
        self.position.pending = self.position.batches > 0


def prepare_data_loader(
    dataloader: Any,
    device: Any = None,
    num_processes: int | None = None,
    process_index: int | None = None,
    split_batches: bool = False,
    put_on_device: bool = False,
    rng_types: list[Any] | None = None,
    dispatch_batches: bool | None = None,
    even_batches: bool = True,
    slice_fn_for_dispatch: Any = None,
    use_seedable_sampler: bool = False,
    data_seed: int | None = None,
    non_blocking: bool = False,
    use_stateful_dataloader: bool = False,
    torch_device_mesh: Any = None,
) -> DataLoaderShard:
    """Wrap ``dataloader`` for one process.

    Raises: UnsupportedArgumentError for more processes, or arguments that need them.
    """
    if (num_processes or 1) > 1 or torch_device_mesh is not None or use_stateful_dataloader:
        raise UnsupportedArgumentError(
            f"prepare_data_loader(num_processes={num_processes}) runs in one process (limit: 1), "
            "without a device mesh and without torchdata's stateful loader."
        )
    if dispatch_batches and not put_on_device:
        raise ValueError("Using `dispatch_batches=True` requires `put_on_device=True`.")
    sampler = getattr(dataloader, "sampler", None)
    batch_sampler = getattr(dataloader, "batch_sampler", None)
    if use_seedable_sampler and batch_sampler and type(sampler).__name__ == "RandomSampler":
        batch_sampler.sampler = SeedableRandomSampler(sampler, data_seed)
    if dispatch_batches is None:
        dispatch_batches = put_on_device and _is_streamed(dataloader.dataset)
    place = device if put_on_device else None
    return DataLoaderShard(dataloader, place, non_blocking, dispatch_batches)


def _is_streamed(dataset: Any) -> bool:
    surface = sys.modules.get("hfpaddle.torch.utils.data")
    kinds = [paddle.io.IterableDataset, *([surface.IterableDataset] if surface else [])]
    return isinstance(dataset, tuple(kinds))


def skip_first_batches(dataloader: Any, num_batches: int = 0) -> Any:
    """Return a loader without the first ``num_batches`` of its next epoch.

    After `load_state` of a checkpoint written after that many batches, it hands out the batches
    that an uninterrupted run would have. Those before are read again and dropped.
    """
    prepared = type(dataloader) is DataLoaderShard
    base = dataloader.base_dataloader if prepared else dataloader
    position = dataloader.position if prepared else Position()
    resume = position.pending and position.batches == num_batches
    position.pending = False
    sampler = getattr(base, "batch_sampler", None)
    by_sampler = sampler is not None and not resume
    if by_sampler:
        base = copy.copy(base)
        # Loaders refuse a new sampler by assignment; this one is a copy that nothing has read yet.
        base.__dict__["batch_sampler"] = SkipBatchSampler(sampler, num_batches)
    if by_sampler and not prepared:
        return base
    skipping = DataLoaderShard(base, dataloader.device if prepared else None)
    skipping._non_blocking = prepared and dataloader._non_blocking
    skipping._dispatch = prepared and dataloader._dispatch
    skipping.position = position
    skipping.skip_batches = 0 if by_sampler else num_batches
    skipping._discarded = num_batches
    skipping._resume = resume
    return skipping


__getattr__ = fallback(__name__)
