"""``DataLoader``: batches of a dataset, read here or in worker processes.

The order is torch's for the same seed, and so is what is drawn from the default generator: one
number for the workers at the start of a pass, then what the sampler draws.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pickle
import queue
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch.utils.data._utils import worker as _worker
from hfpaddle.torch.utils.data._utils.collate import default_collate, default_convert
from hfpaddle.torch.utils.data._utils.worker import get_worker_info
from hfpaddle.torch.utils.data.dataset import IterableDataset
from hfpaddle.torch.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    draw_seed,
)

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

T = TypeVar("T")
LOOK_S = 5.0  # seconds between two looks whether the workers live


class _InfiniteConstantSampler:
    """None for ever: the places of an iterable dataset."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class DataLoader(Generic[T]):
    """Iterates over batches. Arguments as in torch; ``pin_memory`` has no effect here."""

    # Whether persistent workers draw anew in each pass, as workers that are not persistent do. In
    # torch they go on with their streams, which a run that is taken up later cannot.
    _reseeds_workers = False

    def __init__(
        self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None,
        sampler: Iterable | None = None, batch_sampler: Iterable | None = None,
        num_workers: int = 0, collate_fn: Callable | None = None, pin_memory: bool = False,
        drop_last: bool = False, timeout: float = 0, worker_init_fn: Callable | None = None,
        multiprocessing_context: Any = None, generator: Any = None, *,
        prefetch_factor: int | None = None, persistent_workers: bool = False,
        pin_memory_device: str = "", in_order: bool = True,
    ) -> None:  # fmt: skip
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        if not in_order:
            raise UnsupportedArgumentError(
                "DataLoader(in_order=False) has no implementation here. Leave it out."
            )
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.worker_init_fn, self.generator = worker_init_fn, generator
        self.multiprocessing_context, self.persistent_workers = (
            multiprocessing_context, persistent_workers,
        )  # fmt: skip
        self.in_order = in_order
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        elif sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        if sampler is None:
            if self._iterable:
                sampler = _InfiniteConstantSampler()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        auto = batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if auto else default_convert)
        self._iterator: Any = None

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.batch_sampler if self._auto_collation else self.sampler

    def __iter__(self) -> Iterator[T]:
        if not self.num_workers:
            return _SingleProcess(self)
        if not self.persistent_workers:
            return _Workers(self)
        if self._iterator is None:
            self._iterator = _Workers(self)
        else:
            self._iterator.restart()
        return self._iterator

    def __len__(self) -> int:
        if not self._iterable:
            return len(self._index_sampler)
        length = len(self.dataset)
        if self.batch_size is None:
            return length
        whole, rest = divmod(length, self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_iterator": None}

    def _kind(self) -> tuple:
        """The arguments of a worker's fetcher."""
        auto = self._auto_collation
        return self.dataset, self._iterable, auto, self.collate_fn, self.drop_last


def _check_workers(num_workers, timeout, prefetch_factor, persistent_workers) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable "
            "multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing. let num_workers > "
            "0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_iterable(shuffle, sampler, batch_sampler) -> None:
    if shuffle not in (False, None):
        raise ValueError(
            f"DataLoader with IterableDataset: expected unspecified shuffle option, but got "
            f"{shuffle=}"
        )
    for name, value in (("sampler", sampler), ("batch_sampler", batch_sampler)):
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got "
                f"{value}"
            )


class _SingleProcess:
    """One pass in this process."""

    def __init__(self, loader: DataLoader) -> None:
        self._indices = iter(loader._index_sampler)
        draw_seed(loader.generator)  # torch draws the workers' seed even without workers
        self._fetch = _worker.fetcher(*loader._kind())
        self._length = _Length(loader)

    def __iter__(self) -> _SingleProcess:
        return self

    def __next__(self) -> Any:
        batch = self._fetch(next(self._indices))
        self._length.count()
        return batch

    def __len__(self) -> int:
        return self._length.batches()


class _Length:
    """Warns when an iterable dataset gives more than it said."""

    def __init__(self, loader: DataLoader) -> None:
        self.loader, self.given, self.said = loader, 0, None

    def batches(self) -> int:
        """How many batches the loader says it has."""
        self.said = len(self.loader)
        return self.said

    def count(self) -> None:
        """One more batch has been given."""
        self.given += 1
        if self.said is not None and self.loader._iterable and self.given == self.said + 1:
            warnings.warn(
                f"Length of IterableDataset {self.loader.dataset} was reported to be {self.said} "
                f"(when accessing len(dataloader)), but {self.given} samples have been fetched.",
                stacklevel=4,
            )


class _Workers:
    """One pass (or, with persistent workers, several) over worker processes."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader, self._number = loader, loader.num_workers
        self._indices = iter(loader._index_sampler)
        base_seed = draw_seed(loader.generator)
        context = loader.multiprocessing_context
        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context)
        self._results = context.Queue()
        self._tasks = [context.Queue() for _ in range(self._number)]
        self._processes: list[Any] = []
        # Not __del__: in a cycle of garbage the queues are closed before it is called, and the
        # workers would wait for ever.
        self._end = weakref.finalize(
            self, _end_workers, os.getpid(), self._processes, self._tasks, self._results
        )
        for number, tasks in enumerate(self._tasks):
            tasks.cancel_join_thread()
            arguments = (
                loader._kind(), tasks, self._results, base_seed, loader.worker_init_fn, number,
                self._number, os.getpid(),
            )  # fmt: skip
            process = context.Process(target=_worker.run, args=arguments, daemon=True)
            process.start()
            self._processes.append(process)
        self._begin()

    def restart(self) -> None:
        """Begin a new pass with the same processes."""
        while self._waiting:  # what the last pass asked for and did not take
            self._receive()
        self._indices = iter(self._loader._index_sampler)
        seed = draw_seed(self._loader.generator) if self._loader._reseeds_workers else None
        for tasks in self._tasks:
            tasks.put(_worker.Resume(seed))
        self._begin()

    def _begin(self) -> None:
        self._sent, self._next = 0, 0
        self._arrived: dict[int, Any] = {}
        self._waiting: dict[int, int] = {}  # number of a task -> its worker
        self._active = [True] * self._number
        self._turn = itertools.cycle(range(self._number))
        self._length = _Length(self._loader)
        for _ in range((self._loader.prefetch_factor or 1) * self._number):
            self._send()

    def _send(self) -> None:
        if not any(self._active):
            return
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        worker = next(number for number in self._turn if self._active[number])
        self._tasks[worker].put((self._sent, indices))
        self._waiting[self._sent] = worker
        self._sent += 1

    def _receive(self) -> None:
        started = time.monotonic()
        limit = self._loader.timeout
        while True:
            try:
                wait = min(limit, LOOK_S) if limit else LOOK_S
                number, worker, value = self._results.get(timeout=wait)
                break
            except queue.Empty:
                self._check_alive()
                if limit and time.monotonic() - started >= limit:
                    self.close()
                    raise RuntimeError(f"DataLoader timed out after {limit} seconds") from None
        self._waiting.pop(number)
        self._arrived[number] = (worker, pickle.loads(value))

    def _check_alive(self) -> None:
        dead = [p for p, active in zip(self._processes, self._active, strict=True)
                if active and not p.is_alive()]  # fmt: skip
        if dead:
            ids = ", ".join(str(process.pid) for process in dead)
            self.close()
            raise RuntimeError(f"DataLoader worker (pid(s) {ids}) exited unexpectedly")

    def __iter__(self) -> _Workers:
        return self

    def __next__(self) -> Any:
        while self._next < self._sent:
            while self._next not in self._arrived:
                self._receive()
            worker, value = self._arrived.pop(self._next)
            self._next += 1
            if isinstance(value, _worker.Exhausted):
                self._active[worker] = False
                self._send()
                continue
            self._send()
            if isinstance(value, _worker.Failure):
                value.reraise()
            self._length.count()
            return value
        if not self._loader.persistent_workers:
            self.close()
        raise StopIteration

    def __len__(self) -> int:
        return self._length.batches()

    def close(self) -> None:
        """End the processes."""
        if self._end.alive:
            self._loader._iterator = None
            self._end()


def _end_workers(owner: int, processes: list[Any], tasks: list[Any], results: Any) -> None:
    """Tell workers that they are done, in the process that started them."""
    if os.getpid() != owner:
        return
    for channel in tasks:
        with contextlib.suppress(ValueError, OSError):
            channel.put(None)
    for process in processes:
        process.join(timeout=LOOK_S)
        if process.is_alive():
            process.terminate()
    results.cancel_join_thread()
    for channel in (*tasks, results):
        channel.close()
